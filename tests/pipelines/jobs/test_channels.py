"""Runs over files of several channels: one of them, or each as a row; no row lost or doubled."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from actors.batch.unit import UnitSpec, to_stream
from actors.inputs.channels import with_channels
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines import JobConfig, UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.jobs.result import RunResult
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.status import read_status, verify
from tests.conftest import tone
from tests.pipelines.faulty import faulty_stages, light_stages
from tests.pipelines.jobs.test_run import read_errors
from uniaudio2.tasks.table import get_task


def call(path: Path, *hz: float, duration_s: float = 0.3) -> Path:
    """A file with a tone in each channel."""
    path.parent.mkdir(exist_ok=True)
    voices = [tone(duration_s, 16_000, hz=one) for one in hz]
    soundfile.write(path, np.stack(voices, axis=1), 16_000)
    return path


def manifest(folder: Path, *rows: dict[str, Any]) -> str:
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "m.jsonl")


@pytest.fixture
def calls(tmp_path: Path) -> str:
    """Two calls, a mono file, a row that chooses, and one whose file is not there."""
    call(tmp_path / "in/a.wav", 300, 600)
    call(tmp_path / "in/b.wav", 400, 800)
    call(tmp_path / "in/mono.wav", 500)
    return manifest(
        tmp_path,
        {"id": "a", "audio": "in/a.wav"},
        {"id": "b", "audio": "in/b.wav"},
        {"id": "mono", "audio": "in/mono.wav"},
        {"id": "chosen", "audio": "in/a.wav", "audio_channel": 1},
        {"id": "gone", "audio": "in/gone.wav"},
    )


def job(source: str, out: Path, **settings: Any) -> JobConfig:
    known: dict[str, Any] = {"task": "tokenize", "model": "tiny", "executor": "inline"}
    return JobConfig(**known | {"input": source, "output": str(out), "unit_rows": 2} | settings)


def each(source: str, out: Path, **settings: Any) -> JobConfig:
    return job(source, out, audio={"channel": "each"}, **settings)


def counts_are_those_of_the_rows(result: RunResult) -> tuple[list[str], list[str]]:
    """Ids in data and in errors, each once; all that counts says the same."""
    good = [row["id"] for row in read_results(result.output)]
    bad = [row["id"] for row in read_errors(result.output)]
    assert max(Counter(good + bad).values()) == 1
    counts, status = result.counts, read_status(result.output)
    assert (counts.ok, counts.errors, counts.rows) == (len(good), len(bad), len(good + bad))
    assert (status.ok, status.errors, status.left) == (len(good), len(bad), 0)
    assert verify(result.output) == []
    return sorted(good), sorted(bad)


EACH = ["a/ch0", "a/ch1", "b/ch0", "b/ch1", "chosen", "mono/ch0"]


def test_each_channel_is_a_row(calls: str, tmp_path: Path) -> None:
    result = run_job(each(calls, tmp_path / "out", commit_interval_s=0))
    assert counts_are_those_of_the_rows(result) == (EACH, ["gone"])
    rows = {row["id"]: row for row in read_results(result.output)}
    channels = {name: row["audio_channel"] for name, row in rows.items()}
    assert channels == dict(zip(EACH, [0, 1, 0, 1, 1, 0], strict=True))
    assert rows["a/ch1"]["recon_codes"] == rows["chosen"]["recon_codes"]
    assert rows["a/ch0"]["recon_codes"] != rows["a/ch1"]["recon_codes"]
    added = {c.unit: c.added_rows for c in CommitLog(Storage(result.output)).each_commit()}
    assert added == {0: 2, 1: 0, 2: 0}
    again = run_job(each(calls, tmp_path / "out"))
    assert vars(again.counts) == vars(result.counts)


@pytest.mark.parametrize(("channel", "same"), [("left", "a/ch0"), ("right", "a/ch1"), (1, "a/ch1")])
def test_one_channel_of_all(calls: str, tmp_path: Path, channel: Any, same: str) -> None:
    one = run_job(job(calls, tmp_path / "one", audio={"channel": channel}))
    other = run_job(each(calls, tmp_path / "each"))
    rows = {row["id"]: row for row in read_results(one.output)}
    wanted = {row["id"]: row for row in read_results(other.output)}[same]
    assert rows["a"]["recon_codes"] == wanted["recon_codes"]
    assert rows["a"]["audio_channel"] == wanted["audio_channel"]
    assert rows["chosen"]["audio_channel"] == 1
    errors = {row["id"]: row["kind"] for row in read_errors(one.output)}
    assert errors == {"gone": "missing_file"} | ({} if channel == "left" else {"mono": "bad_span"})


def test_a_mix_says_nothing_new(calls: str, tmp_path: Path) -> None:
    plain = run_job(job(calls, tmp_path / "plain", limit=3))
    assert run_job(job(calls, tmp_path / "plain", limit=3, audio={"channel": "mix"})).counts.ok == 3
    with pytest.raises(UsageError, match=r"audio.channel None there, 'each' now"):
        run_job(each(calls, tmp_path / "plain", limit=3))
    recorded = json.loads((tmp_path / "plain/run.json").read_text())
    assert "audio" not in recorded["job"]
    assert plain.counts.rows == 3


def test_a_retry_does_the_failed_channels_alone(calls: str, tmp_path: Path) -> None:
    broken = tone(0.3, 16_000, 2)
    broken[100, 1] = np.nan
    soundfile.write(tmp_path / "in/a.wav", broken, 16_000, subtype="FLOAT")
    result = run_job(each(calls, tmp_path / "out"))
    good, bad = counts_are_those_of_the_rows(result)
    assert bad == ["a/ch1", "chosen", "gone"]
    kept = {row["id"]: row for row in read_results(result.output)}
    call(tmp_path / "in/a.wav", 300, 600)
    call(tmp_path / "in/gone.wav", 300, 600, 900)
    tried = retry_job(recorded_job(result.output, executor="inline"))
    assert (tried.tried, tried.mended, tried.exit_code) == (5, 5, 0)
    good, bad = counts_are_those_of_the_rows(tried)
    assert (good, bad) == (sorted([*EACH, "gone/ch0", "gone/ch1", "gone/ch2"]), [])
    now = {row["id"]: row for row in read_results(result.output)}
    assert {name: now[name] for name in kept} == kept  # the good channel is what it was
    assert sum(c.added_rows for c in CommitLog(Storage(result.output)).each_commit()) == 4


def test_a_retry_that_fails_again_counts_its_attempts(calls: str, tmp_path: Path) -> None:
    (tmp_path / "in/a.wav").write_text("I am not audio")
    result = run_job(each(calls, tmp_path / "out"))
    retry_job(recorded_job(result.output, executor="inline"))
    tried = retry_job(recorded_job(result.output, executor="inline"), only="missing_file")
    counts_are_those_of_the_rows(tried)
    attempts = {row["id"]: row["attempts"] for row in read_errors(result.output)}
    assert attempts["gone"] == 3
    assert {count for name, count in attempts.items() if name != "gone"} == {2}


@pytest.mark.usefixtures("cluster")
def test_a_channel_that_kills_its_worker_costs_its_row(calls: str, tmp_path: Path) -> None:
    # more units than may fail at once before a run takes them for hopeless
    settings = {"task": "reconstruct", "max_attempts": 1, "executor": "ray", "unit_rows": 1}
    result = run_job(
        each(calls, tmp_path / "out", **settings),
        make=functools.partial(light_stages, kill="b/ch1"),
    )
    good, bad = counts_are_those_of_the_rows(result)
    assert bad == ["b", "gone"]
    assert good == ["a/ch0", "a/ch1", "chosen", "mono/ch0"]
    assert {row["id"]: row["kind"] for row in read_errors(result.output)}["b"] == "crash"
    # a row of a crash, once more given up and then mended; without Ray, where a kill would be ours
    again = recorded_job(result.output, executor="inline")
    tried = retry_job(again, make=functools.partial(faulty_stages, fail="b/ch1"))
    assert counts_are_those_of_the_rows(tried) == (good, bad)
    tried = retry_job(again)
    assert counts_are_those_of_the_rows(tried) == (EACH, ["gone"])


def test_channels_kept_as_tokens_are_gone_on_with(calls: str, tmp_path: Path) -> None:
    kept = each(calls, tmp_path / "out", task="reconstruct", keep="tokens")
    fails = functools.partial(faulty_stages, fail="a/ch1")
    result = run_job(kept.model_copy(update={"max_attempts": 1}), make=fails)
    assert counts_are_those_of_the_rows(result) == (EACH[2:], ["a", "gone"])


def test_ids_that_channels_would_repeat_are_refused(tmp_path: Path) -> None:
    call(tmp_path / "in/a.wav", 300, 600)
    rows = [{"id": name, "audio": "in/a.wav"} for name in ("a", "a/ch0")]
    with pytest.raises(UsageError, match="becomes `x/ch0`"):
        run_job(each(manifest(tmp_path, *rows), tmp_path / "out"))
    rows[0]["id"] = "a/ch1"  # results of channels go in again
    result = run_job(each(manifest(tmp_path, *rows), tmp_path / "out"))
    assert result.counts.ok == 4


@pytest.mark.parametrize("channels", [2, 5])
def test_each_channel_is_what_it_is_alone(tmp_path: Path, channels: int) -> None:
    """Two are held as waves, more are read again where they are encoded."""
    call(tmp_path / "in/a.wav", *range(300, 300 + 50 * channels, 50))
    rows = [
        {"id": f"a/ch{channel}", "audio": "in/a.wav", "audio_channel": channel}
        for channel in range(channels)
    ]
    alone = run_job(job(manifest(tmp_path, *rows), tmp_path / "alone"))
    source = manifest(tmp_path, {"id": "a", "audio": "in/a.wav"})
    together = run_job(each(source, tmp_path / "each"))
    found, wanted = (
        sorted(read_results(result.output), key=lambda row: row["id"])
        for result in (together, alone)
    )
    assert len(found) == channels
    assert found == wanted


def test_long_channels_are_read_where_they_are_encoded(tmp_path: Path) -> None:
    call(tmp_path / "in/a.wav", 300, 600, duration_s=61.0)
    table = pa.table({"id": ["a"], "audio": ["in/a.wav"]})
    unit = UnitSpec(0, "", 0, 1, str(tmp_path), "f", to_stream(table))
    loader = Loader(get_task("tokenize"), with_channels(table.schema.remove(0)), channel="each")
    loaded = loader(unit.to_table())
    assert loaded["id"].to_pylist() == ["a/ch0", "a/ch1"]
    assert loaded["wave"].null_count == 2
    assert [source["channel"] for source in loaded["source"].to_pylist()] == [0, 1]
    assert [row["audio_channel"] for row in loaded["input"].to_pylist()] == [0, 1]


def test_more_channels_than_memory_is_for(tmp_path: Path) -> None:
    call(tmp_path / "in/a.wav", *range(300, 340), duration_s=0.1)
    result = run_job(each(manifest(tmp_path, {"id": "a", "audio": "in/a.wav"}), tmp_path / "out"))
    (row,) = read_errors(result.output)
    assert (row["id"], row["kind"]) == ("a", "bad_span")
    assert "40 channels" in row["message"]
