"""Corpora from a folder to a report, on disk and in a bucket."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.config.make_job import make_job
from pipelines.planning.plan import make_plan
from tests.pipelines.manifest.corpora.trees import lay_out, only, planned, rows_of, sound
from uniaudio2.tasks.table import get_task

TRANSCRIPT = "1/2/1-2.trans.txt"


def test_references_of_a_corpus_give_the_word_error_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay_out(
        tmp_path / "in", {TRANSCRIPT: "1-2-0 ONE TWO\n1-2-1 GONE\nbroken\n"}, ["1/2/1-2-0.flac"]
    )
    job = JobConfig(
        task="asr", input=root, output=str(tmp_path / "out"), model="tiny", executor="inline",
        sampling={"max_frames": 8},  # type: ignore[arg-type]
    )  # fmt: skip
    result = run_job(job, "lines")
    assert (result.exit_code, result.counts.ok, result.counts.errors) == (3, 1, 2)
    (row,) = pq.read_table(tmp_path / "out/data").to_pylist()
    assert only(row, "id", "input_text", "speaker", "language") == ("1-2-0", "ONE TWO", "1", "en")
    errors = {row["id"]: row for row in pq.read_table(tmp_path / "out/errors").to_pylist()}
    assert errors["1-2-1"]["kind"] == "missing_file"
    assert "line 3 of '1/2/1-2.trans.txt'" in errors[f"{TRANSCRIPT}:3"]["message"]
    assert (
        "word error rate against input_text, 1 rows" in (tmp_path / "out/report.html").read_text()
    )
    assert "is read as LibriSpeech" in capsys.readouterr().out


def test_a_corpus_in_a_bucket(bucket: str) -> None:
    Storage(bucket).put(f"c/{TRANSCRIPT}", b"1-2-0 ONE TWO\n")
    Storage(bucket).put("c/1/2/1-2-0.flac", sound(".flac"))
    Storage(bucket).put("cv/test.tsv", b"client_id\tpath\tsentence\nx\ta.mp3\tone\n")
    Storage(bucket).put("cv/clips/a.mp3", sound(".mp3"))
    (row,) = rows_of(planned(f"{bucket}/c"))
    assert only(row, "id", "audio", "text") == ("1-2-0", "1/2/1-2-0.flac", "ONE TWO")
    plan = planned(f"{bucket}/cv/test.tsv")
    assert only(rows_of(plan)[0], "audio", "text") == ("clips/a.mp3", "one")
    assert plan.units[0].base == f"{bucket}/cv"


def test_links_that_are_refused_cost_their_rows(tmp_path: Path) -> None:
    lay_out(tmp_path / "out", {}, ["a.flac"])
    root = lay_out(tmp_path / "in", {TRANSCRIPT: "1-2-0 ONE\n1-2-1 TWO\n"}, ["1/2/1-2-0.flac"])
    (tmp_path / "in/1/2/1-2-1.flac").symlink_to(tmp_path / "out/a.flac")
    job = make_job(
        {"task": "tokenize", "input": root, "output": "out"}, sets=("input.links=refuse",)
    )
    plan = make_plan(root, get_task("tokenize"), rules=job.input_rules, manifest=job.manifest)
    first, second = rows_of(plan)
    assert (first["id"], second["id"]) == ("1-2-0", "1-2-1")
    assert "is a link that leads out of INPUT" in second["_manifest_fault"]


def test_a_table_whose_reading_is_given_is_no_corpus(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"metadata.csv": "wavs/a.wav|one\n"}, ["wavs/wavs/a.wav"])
    lay_out(tmp_path, {}, ["wavs/a.wav"])
    (row,) = rows_of(planned(f"{root}/metadata.csv"))
    assert only(row, "id", "audio") == ("wavs/a", "wavs/wavs/a.wav")
    given = make_job(
        {"task": "tokenize", "input": "x", "output": "out"},
        sets=("manifest.header=[audio,text]", "manifest.delimiter=bar"),
    ).manifest
    plan = make_plan(f"{root}/metadata.csv", get_task("tokenize"), manifest=given)
    (row,) = rows_of(plan)
    assert only(row, "audio", "text") == ("wavs/a.wav", "one")
