"""Failed rows again: what succeeds leaves the errors table, and every row is somewhere, once."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.batch.unit import UnitSpec
from actors.storage.object_store import Storage
from actors.storage.web_connections import PAUSES
from pipelines import RunFailed, UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.config.input_settings import InputRules
from pipelines.config.settings import LoadConfig
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.status import read_status, verify
from tests.conftest import tone, wav_bytes
from tests.pipelines.faulty import faulty_stages
from tests.pipelines.jobs.test_faults import job
from tests.pipelines.jobs.test_run import read_errors, run

NAMES = ["good-0", "gone-0", "text", "good-1", "gone-1", "null", "gone-2", "good-2"]


@pytest.fixture
def broken(tmp_path: Path, make_audio: Callable[..., Path]) -> Callable[[str], Path]:
    """A manifest of eight rows of which five fail; what is returned mends a file."""
    rows: list[dict[str, Any]] = [{"id": name, "audio": f"in/{name}.wav"} for name in NAMES]
    rows[NAMES.index("null")]["audio"] = None
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def mend(name: str) -> Path:
        return make_audio(f"in/{name}.wav", 0.2)

    for name in NAMES:
        if name.startswith("good"):
            mend(name)
    (tmp_path / "in/text.wav").write_text("I am not audio")
    return mend


def first_run(folder: Path, **settings: Any) -> str:
    out = str(folder / "out")
    result = run("tokenize", str(folder / "m.jsonl"), out, unit_rows=3, **settings)
    assert (result.counts.ok, result.counts.errors) == (3, 5)
    return out


def ids(output: str) -> tuple[list[str], list[str]]:
    """Ids in data and in errors; every row must be in one of them, once, also for a bare glob."""
    good = [row["id"] for row in read_results(output)]
    bad = [row["id"] for row in read_errors(output)]
    assert sorted(good + bad) == sorted(NAMES)
    assert verify(output) == []
    return sorted(good), sorted(bad)


def files_are_those_of_the_records(output: str) -> None:
    there = {str(path.relative_to(output)) for path in Path(output).glob("*/part-*.parquet")}
    commits = list(CommitLog(Storage(output)).each_commit())
    assert there == {path for c in commits for path in (*c.data, *c.error_parts)}
    assert len(list(Path(output).glob("_log/units/*"))) == len(commits)


@pytest.mark.usefixtures("cluster")
def test_mended_rows_leave_the_errors_table(tmp_path: Path, broken: Callable[[str], Path]) -> None:
    out = first_run(tmp_path)
    before = {row["id"]: row["recon_codes"] for row in read_results(out)}
    broken("gone-0")
    broken("gone-2")
    broken("text")
    result = retry_job(recorded_job(out), only="missing_file")
    assert (result.tried, result.mended, result.exit_code) == (3, 2, 3)
    assert (result.counts.ok, result.counts.errors, result.counts.rows) == (5, 3, 8)
    assert ids(out) == (
        ["gone-0", "gone-2", "good-0", "good-1", "good-2"], ["gone-1", "null", "text"],
    )  # fmt: skip
    attempts = {row["id"]: row["attempts"] for row in read_errors(out)}
    assert attempts == {"gone-1": 2, "null": 1, "text": 1}
    status = read_status(out)
    assert (status.ok, status.errors, status.left, status.state) == (5, 3, 0, "finished")
    assert status.kinds == {"missing_file": 1, "missing_value": 1, "unreadable_audio": 1}
    files_are_those_of_the_records(out)
    recorded = json.loads((tmp_path / "out/run.json").read_text())
    assert recorded["counts"] == {"ok": 5, "errors": 3, "kinds": status.kinds, "marks": {}}
    assert "gone-1" in (tmp_path / "out/report.html").read_text()
    after = {row["id"]: row["recon_codes"] for row in read_results(out)}
    assert {name: after[name] for name in before} == before
    # the run itself does again what failed and whose file is another now, and nothing else
    result = run("tokenize", str(tmp_path / "m.jsonl"), out, unit_rows=3)
    assert (result.counts.ok, result.counts.rows) == (6, 8)
    assert ids(out)[1] == ["gone-1", "null"]
    files_are_those_of_the_records(out)


@pytest.mark.parametrize(
    ("owner", "method", "lives"), [(CommitLog, "commit", 1), (Storage, "delete", 0)]
)
def test_a_retry_that_is_killed_loses_nothing_and_goes_on(
    tmp_path: Path,
    broken: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    lives: int,
) -> None:
    """It dies at its second commit, or right after its first, before the old part is gone."""
    out = first_run(tmp_path, executor="inline")
    for name in ("gone-0", "gone-1", "gone-2"):
        broken(name)
    original, calls = getattr(owner, method), []

    def dying(self: Any, *given: Any) -> Any:
        calls.append(given)
        if len(calls) > lives:
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch, pytest.raises((RunFailed, KeyboardInterrupt)):
        patch.setattr(owner, method, dying)
        retry_job(recorded_job(out, executor="inline"))
    assert len(calls) > lives
    Storage(out).delete("_log/driver.json")  # the process that held it is gone
    good, _ = ids(out)
    assert len(good) in (4, 5)  # the first unit's rows came through
    result = retry_job(recorded_job(out, executor="inline"))
    assert (result.counts.ok, result.counts.errors) == (6, 2)
    assert ids(out)[1] == ["null", "text"]
    files_are_those_of_the_records(out)


def test_rows_whose_stage_raised_are_tried_again_and_nothing_is_kept(tmp_path: Path) -> None:
    kept = job(tmp_path, executor="inline", max_attempts=1, keep="tokens")
    result = run_job(kept, make=functools.partial(faulty_stages, fail="speech-2"))
    assert result.counts.errors == 1
    still = functools.partial(faulty_stages, fail="speech-2")
    result = retry_job(recorded_job(str(tmp_path), executor="inline"), make=still)
    assert (result.tried, result.mended, result.counts.ok) == (1, 0, 5)
    assert [row["attempts"] for row in read_errors(str(tmp_path))] == [6]
    result = retry_job(recorded_job(str(tmp_path), executor="inline"))
    assert (result.tried, result.mended, result.exit_code) == (1, 1, 0)
    assert not list(tmp_path.glob("_tokens/*"))
    for row in read_results(str(tmp_path)):
        assert (tmp_path / row["audio_path"]).exists()


def test_what_cannot_be_retried_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run\.json"):
        recorded_job(str(tmp_path))


def test_a_retry_of_nothing_or_of_other_rows(tmp_path: Path, broken: Callable[[str], Path]) -> None:
    out = first_run(tmp_path, executor="inline")
    with pytest.raises(UsageError, match=r"no row failed with kind 'crash'; there are missing_fil"):
        retry_job(recorded_job(out, executor="inline"), only="crash")
    with pytest.raises(UsageError, match="another job: seed 0 there, 3 now"):
        retry_job(recorded_job(out, ("seed=3",), executor="inline"))
    lines = (tmp_path / "m.jsonl").read_text().replace("in/gone-1", "in/other")
    (tmp_path / "m.jsonl").write_text(lines)
    # a row that is another one now is not tried; where there is no other, that is refused
    result = retry_job(recorded_job(out, executor="inline"))
    assert (result.tried, result.mended, result.counts.errors) == (4, 0, 5)
    manifest = "".join(json.dumps({"id": name, "audio": "in/other.wav"}) + "\n" for name in NAMES)
    (tmp_path / "m.jsonl").write_text(manifest)
    with pytest.raises(UsageError, match="5 failed rows are no longer in the input as they were"):
        retry_job(recorded_job(out, executor="inline"))
    assert ids(out)[1] == ["gone-0", "gone-1", "gone-2", "null", "text"]
    mended = "".join(json.dumps({"id": name, "audio": "in/good-0.wav"}) + "\n" for name in NAMES)
    (tmp_path / "m.jsonl").write_text(mended)
    assert (
        run("tokenize", str(tmp_path / "m.jsonl"), out, unit_rows=3, executor="inline").exit_code
        == 0
    )
    nothing = retry_job(recorded_job(out, executor="inline"))
    assert (nothing.tried, nothing.mended, nothing.exit_code) == (0, 0, 0)


def test_places_of_rows_are_those_in_the_unit() -> None:
    assert UnitSpec(0, "", 10, 14, "", "f").row_numbers == (0, 1, 2, 3)


class _Limits(http.server.BaseHTTPRequestHandler):
    """Gives each file once it is no longer busy."""

    server: Any

    def do_GET(self) -> None:
        self.send_response(429 if self.server.is_busy else 200)
        if self.server.is_busy:
            self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(b"" if self.server.is_busy else wav_bytes(tone(0.1)))

    def log_message(self, *_: object) -> None:
        pass


def test_rows_of_a_server_that_limits_are_reached_by_their_kind(tmp_path: Path) -> None:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Limits)
    server.is_busy = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}/"
    rows = [{"id": name, "audio": f"{site}{name}.wav?sig=secret"} for name in ("a", "b")]
    rows.append({"id": "gone", "audio": "gone.wav"})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = str(tmp_path / "out")
    try:
        result = run(
            "tokenize", str(tmp_path / "m.jsonl"), out, executor="inline",
            load=LoadConfig(timeout_s=3), input_rules=InputRules(allow=(site,)),
        )  # fmt: skip
        assert result.counts.kinds == {"too_many_requests": 2, "missing_file": 1}
        (message,) = {row["message"] for row in read_errors(out) if row["id"] == "a"}
        assert "a.wav?…': its server answers 429 and wants " in message
        server.is_busy = False
        PAUSES._pauses.clear()  # as in another process, later
        retried = retry_job(recorded_job(out, executor="inline"), only="too_many_requests")
        assert (retried.tried, retried.mended) == (2, 2)
        assert [row["id"] for row in read_errors(out)] == ["gone"]
    finally:
        server.shutdown()
        server.server_close()
