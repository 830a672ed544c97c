"""Outputs that earlier builds wrote, without seals, are read, reported, exported and gone on with.

Those beside this file were made in ``/srv/old``: three recordings of which one was absent, and two
texts of which one was blank. Those of format 2 are in a folder of their own, made in ``/srv/old2``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from actors.storage.object_store import Storage
from benchmarks.driver import answering_stages
from pipelines import UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.config.job import JobConfig
from pipelines.export.export import export_run
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.planning.plan import make_plan
from pipelines.report import write_report
from pipelines.run_state.commit_log import CommitLog, committed_parts
from pipelines.run_state.status import read_status, verify
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

OLD = Path(__file__).parents[1] / "outputs_of_old"
TASKS = {"tok": ("tokenize", "m.jsonl"), "tts": ("tts", "t.jsonl")}


def place(folder: Path, name: str) -> str:
    """An old OUTPUT as it would be if it had been made in `folder`."""
    shutil.copytree(OLD, folder, dirs_exist_ok=True)
    (folder / "in").mkdir()
    for number in range(2):
        (folder / f"in/{number}.wav").write_bytes(wav_bytes(tone(0.2, hz=300 + 100 * number)))
    run = folder / name / "run.json"
    run.write_text(run.read_text().replace("/srv/old", str(folder)))
    task, manifest = TASKS[name]
    for unit in make_plan(f"{folder}/{manifest}", get_task(task)).units:
        record = folder / name / f"_log/units/{unit.unit:08d}.json"
        # where the manifest is belongs to what a unit is known by
        record.write_text(
            json.dumps({**json.loads(record.read_text()), "fingerprint": unit.former})
        )
    return str(folder / name)


@pytest.mark.parametrize(("name", "ok"), [("tok", 2), ("tts", 1)])
def test_what_is_there_is_told_and_handed_on(tmp_path: Path, name: str, ok: int) -> None:
    out = place(tmp_path, name)
    status = read_status(out)
    assert (status.ok, status.errors, status.left, status.state) == (ok, 1, 0, "finished")
    assert verify(out) == []
    assert write_report(out).bottleneck is not None
    page = (tmp_path / name / "report.html").read_text()
    assert ("--with-input-audio" in page) == (name == "tok")
    assert page.count("<audio ") == (name == "tts")
    assert export_run(out, str(tmp_path / "dst"), "jsonl").rows == ok
    assert len(committed_parts(out)) == ok


def test_its_failed_rows_are_tried_again_when_that_is_meant(tmp_path: Path) -> None:
    out = place(tmp_path, "tok")
    (tmp_path / "in/gone.wav").write_bytes(wav_bytes(tone(0.2)))
    with pytest.raises(UsageError, match=r"made by another user or machine.*m\.jsonl.*--yes"):
        recorded_job(out)
    result = retry_job(recorded_job(out, yes=True, executor="inline"))
    assert (result.tried, result.mended, result.counts.ok) == (1, 1, 3)
    assert verify(out) == []
    # what was there before stays another's, also in the record that this user's retry wrote
    commit_log = CommitLog(Storage(out))
    assert [commit_log.owns_commit(commit) for commit in commit_log.each_commit()] == [False] * 3
    assert "<audio " not in (tmp_path / "tok/report.html").read_text()
    assert recorded_job(out).input == str(tmp_path / "m.jsonl")  # it is one's own job by now


def test_the_same_run_goes_on_without_any_option(tmp_path: Path) -> None:
    out = place(tmp_path, "tok")
    (tmp_path / "tok/_log/units/00000001.json").unlink()
    job = JobConfig(
        task="tokenize",
        input=str(tmp_path / "m.jsonl"),
        output=out,
        model="tiny",
        executor="inline",
    )
    result = run_job(job)
    assert (result.counts.ok, result.counts.errors) == (2, 1)
    assert [row["id"] for row in read_results(out)] == ["a", "b"]
    commit_log = CommitLog(Storage(out))
    assert [commit_log.owns_commit(commit) for commit in commit_log.each_commit()] == [
        False,
        True,
        False,
    ]
    # the unit that this run made is played, the other is not
    assert (tmp_path / "tok/report.html").read_text().count("<audio ") == 1


def test_an_output_of_format_2_is_gone_on_with(tmp_path: Path) -> None:
    """Three texts of which one was blank, in units of two; another text comes, one changes."""
    shutil.copytree(OLD / "format_2", tmp_path, dirs_exist_ok=True)
    manifest, out = tmp_path / "m.jsonl", str(tmp_path / "out")
    run = tmp_path / "out/run.json"
    run.write_text(run.read_text().replace("/srv/old2", str(tmp_path)))
    status = read_status(out)
    assert (status.ok, status.errors, status.left, status.state) == (2, 1, 0, "finished")
    assert verify(out) == []
    job = JobConfig(
        task="text_only", model="tiny", input=str(manifest), output=out, unit_rows=2,
        executor="inline",
    )  # fmt: skip
    assert run_job(job, make=answering_stages).computed == 0
    lines = manifest.read_text().replace('"yes"', '"no"') + '{"id": "d", "text": "more"}\n'
    manifest.write_text(lines)
    assert run_job(job, make=answering_stages).computed == 2
    assert {row["id"]: row["text"] for row in read_results(out)} == {
        "a": "hi", "c": "no", "d": "more",
    }  # fmt: skip
    records = {record.unit: record for record in CommitLog(Storage(out)).each_commit()}
    assert [record.format_version for record in records.values()] == [2, 3, 3]
    assert sum(record.known_rows for record in records.values()) == 4
