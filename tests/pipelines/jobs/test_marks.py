"""Marks of how audio was read, on their way from the file to results, records and people."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from actors.batch.schema import MARKS
from actors.batch.unit import UnitSpec, to_stream
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines import RunFailed, run_job
from pipelines.cli.demo import read_results
from pipelines.cli.views.closing import closing_facts, closing_lines
from pipelines.export.export import export_run
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.status import read_status
from tests.conftest import tone
from tests.pipelines.jobs.test_channels import job, manifest
from uniaudio2.tasks.table import get_task


@pytest.fixture
def source(tmp_path: Path, make_audio: Callable[..., Path]) -> str:
    """A good row, one in opposite phase, one that is shorter than told, one that fails."""
    make_audio("in/good.wav", 0.5)
    wave = tone(0.5, 16_000, 2)
    wave[:, 1] *= -0.5
    soundfile.write(tmp_path / "in/phase.wav", wave, 16_000)
    return manifest(
        tmp_path,
        {"id": "good", "audio": "in/good.wav"},
        {"id": "phase", "audio": "in/phase.wav"},
        {"id": "short", "audio": "in/good.wav", "start_s": 0.0, "duration": 4.0},
        {"id": "gone", "audio": "in/gone.wav"},
    )


def marks_of(output: str) -> dict[str, dict[str, Any]]:
    return {
        row["id"]: {name: row[name] for name in MARKS if row[name] is not None}
        for row in read_results(output)
    }


def test_marks_are_columns_and_are_counted(source: str, tmp_path: Path) -> None:
    result = run_job(job(source, tmp_path / "out"))
    found = marks_of(result.output)
    assert found["good"] == {}
    assert found["phase"] == {"input_mix": "left_taken"}
    assert found["short"] == {"input_short_by_s": pytest.approx(3.5)}
    counted = {"input_mix": 1, "input_short_by_s": 1}
    assert result.counts.marks == counted
    assert closing_facts(result)["marks"] == counted
    assert "marked:  1 input_mix, 1 input_short_by_s" in closing_lines(result)
    assert read_status(result.output).marks == counted
    assert json.loads((tmp_path / "out/run.json").read_text())["counts"]["marks"] == counted
    page = (tmp_path / "out/report.html").read_text()
    assert "Rows that are marked" in page
    assert "input_short_by_s" in page


def test_words_in_opposite_phase_are_heard(source: str, tmp_path: Path) -> None:
    """As the stronger channel alone has them; as a mean they would be nearly nothing."""
    mixed = run_job(job(source, tmp_path / "mixed"))
    left = run_job(job(source, tmp_path / "left", audio={"channel": "left"}))
    codes = [
        {row["id"]: row["recon_codes"] for row in read_results(result.output)}["phase"]
        for result in (mixed, left)
    ]
    assert codes[0] == codes[1]


def test_long_audio_in_opposite_phase_is_read_again_by_its_channel(tmp_path: Path) -> None:
    wave = tone(61.0, 16_000, 2)
    wave[:, 0] *= -0.5
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    table = pa.table({"id": ["a"], "audio": ["a.wav"]})
    unit = UnitSpec(0, "", 0, 1, str(tmp_path), "f", to_stream(table))
    loaded = Loader(get_task("tokenize"), table.schema.remove(0))(unit.to_table())
    assert loaded["input_mix"].to_pylist() == ["right_taken"]
    assert loaded["source"].to_pylist()[0]["channel"] == 1


def test_a_retry_keeps_the_marks(
    source: str, tmp_path: Path, make_audio: Callable[..., Path]
) -> None:
    result = run_job(job(source, tmp_path / "out"))
    shutil.copy(tmp_path / "in/phase.wav", tmp_path / "in/gone.wav")
    tried = retry_job(recorded_job(result.output, executor="inline"))
    assert tried.counts.marks == {"input_mix": 2, "input_short_by_s": 1}
    assert run_job(job(source, tmp_path / "out")).counts.marks == tried.counts.marks


def test_plain_audio_leaves_no_word(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    make_audio("in/good.wav", 0.5)
    result = run_job(job(str(tmp_path / "in"), tmp_path / "out"))
    assert "marked" not in closing_lines(result)
    assert "Rows that are marked" not in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize("old", [0, 1])
@pytest.mark.parametrize("kind", ["jsonl", "huggingface", "lhotse"])
def test_parts_of_a_build_without_marks_are_exported_beside_others(
    source: str, tmp_path: Path, old: int, kind: Any
) -> None:
    result = run_job(job(source, tmp_path / "out"))
    log = CommitLog(Storage(result.output))
    (old_commit,) = [c for c in log.each_commit() if c.unit == old]
    (path,) = (tmp_path / "out" / name for name in old_commit.data)
    pq.write_table(pq.read_table(path).drop_columns(list(MARKS)), path)
    exported = export_run(result.output, str(tmp_path / "dst"), kind, with_input_audio=True)
    assert exported.rows == 3
    if kind == "huggingface":
        rows = [
            row for p in (tmp_path / "dst/data").iterdir() for row in pq.read_table(p).to_pylist()
        ]
        shorts = {row["id"]: row["input_short_by_s"] for row in rows}
        assert (shorts["short"] is None) == (old == 1)


@pytest.mark.parametrize("marks", [{"<b>": 1}, {"a b": 1}, {"input_mix": -1}])
def test_marks_that_no_run_gives_are_no_record(marks: dict[str, int]) -> None:
    facts = json.loads(Commit(0, "f", 1, 0, (), (), (), 0.0, 0.0, {}, {}).to_bytes())
    with pytest.raises(RunFailed, match="not a commit record"):
        Commit.from_bytes(json.dumps({**facts, "marks": marks}).encode())


def test_answers_that_a_limit_cut_are_counted_and_told(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "hello"}\n{"id": "b", "text": "ho"}\n')
    settings: dict[str, Any] = {"task": "tts", "sampling": {"max_frames": 12}}
    result = run_job(job(str(tmp_path / "in.jsonl"), tmp_path / "out", **settings))
    reasons = [row["finish_reason"] for row in read_results(result.output)]
    assert (cut := reasons.count("length")) > 0
    assert result.counts.marks == {"cut_short": cut}
    assert closing_facts(result)["marks"] == {"cut_short": cut}
    assert "ended at a limit, speech or text may be missing" in closing_lines(result)
    assert "marked:" not in closing_lines(result)  # it is no column
    assert "the answer ended at a limit" in (tmp_path / "out/report.html").read_text()
    again = run_job(job(str(tmp_path / "in.jsonl"), tmp_path / "out", **settings))
    assert again.counts.marks == result.counts.marks
