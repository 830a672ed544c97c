"""What a run answers to Prometheus, while it works and at its end."""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines import RunResult, UsageError
from pipelines.errors import RunFailed
from pipelines.jobs.retry import recorded_job
from pipelines.metrics import server
from tests.support.metrics import Samples, free_port, run, scraped

pytest.importorskip("prometheus_client", reason="extra [metrics] is not installed")


@pytest.fixture
def port() -> int:
    return free_port()


def check_sums(seen: Samples, result: RunResult) -> None:
    counts = result.counts
    assert seen["uniaudio2_rows_total", "ok"] == counts.ok
    assert seen["uniaudio2_rows_total", "error"] == counts.errors
    kinds = {kind: n for (name, kind), n in seen.items() if name == "uniaudio2_row_errors_total"}
    assert kinds == dict(counts.kinds)
    assert seen["uniaudio2_units_total", ""] == counts.units_done
    assert seen["uniaudio2_input_audio_seconds_total", ""] == pytest.approx(counts.input_s)
    assert seen["uniaudio2_output_audio_seconds_total", ""] == pytest.approx(counts.output_s)


def test_a_run_is_scraped_while_it_works_and_at_its_end(tmp_path: Path, port: int) -> None:
    looks: list[tuple[str, Samples]] = []
    result = run(tmp_path, port, lambda when: looks.append((when, scraped(port))))
    assert [when for when, _ in looks] == ["unit"] * 3 + ["end"]
    assert [seen["uniaudio2_rows_left", ""] for _, seen in looks] == [4, 2, 0, 0]
    for (_, before), (_, after) in pairwise(looks):  # counters never fall
        for key in before:
            assert not key[0].endswith(("_total", "_bucket")) or after[key] >= before[key]
    seen = looks[-1][1]
    check_sums(seen, result)
    assert (result.counts.ok, result.counts.errors) == (5, 1)
    assert seen["uniaudio2_commit_seconds_count", ""] == 3
    assert seen["uniaudio2_stage_rows_total", "write"] == 5
    assert seen["uniaudio2_stage_failed_rows_total", "load"] == 1
    assert seen["uniaudio2_stage_busy_seconds_total", "encode"] > 0
    parts = [path for kind in ("data", "errors") for path in (tmp_path / "out" / kind).iterdir()]
    assert seen["uniaudio2_written_bytes_total", ""] == sum(path.stat().st_size for path in parts)
    with pytest.raises(urllib.error.URLError):  # the endpoint goes with the run
        scraped(port)


def test_counters_go_on_over_a_resume(tmp_path: Path, port: int) -> None:
    def stop(when: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(RunFailed):
        run(tmp_path, port, stop)
    looks: list[Samples] = []
    result = run(tmp_path, port, lambda when: looks.append(scraped(port)))
    assert looks[0]["uniaudio2_rows_total", "ok"] == 3  # two of before, one of this run
    check_sums(looks[-1], result)
    assert result.counts.ok + result.counts.errors == 6


def test_a_port_in_use_is_told_before_anything_is_begun(tmp_path: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(UsageError, match=f"metrics_port {port}: .*in use; choose another"):
            run(tmp_path, port, lambda when: None)
    assert not (tmp_path / "out").exists()


def test_the_loopback_alone_is_listened_at_unless_asked() -> None:
    with server.serving(0, "127.0.0.1", "quiet") as metrics:
        port = int(re.findall(r":(\d+)/metrics", metrics.address)[0])
        assert scraped(port) == {("uniaudio2_run_planned", ""): 0}  # nothing is planned yet
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
    with server.serving(0, "0.0.0.0", "quiet") as metrics, socket.socket() as other:  # noqa: S104 - asked for
        other.connect(("127.0.0.2", int(re.findall(r":(\d+)/", metrics.address)[0])))


def test_the_address_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with server.serving(0, "127.0.0.1", "json") as metrics:
        told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["address"]) == ("metrics", metrics.address)


def test_a_scraper_that_hangs_does_not_hold_the_end(port: int) -> None:
    with server.serving(port, "127.0.0.1", "quiet"), socket.socket() as slow:
        slow.connect(("127.0.0.1", port))
        slow.send(b"GET /metr")


def test_a_retry_serves_none_unless_asked(tmp_path: Path, port: int) -> None:
    run(tmp_path, port, lambda when: None)
    assert recorded_job(str(tmp_path / "out")).metrics_port is None
    assert recorded_job(str(tmp_path / "out"), ("metrics_port=0",)).metrics_port == 0


def test_an_absent_package_is_named_with_its_extra(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install 'uniaudio2-batch\[metrics\]'"):
        run(tmp_path, port, lambda when: None)
    assert not (tmp_path / "out").exists()
