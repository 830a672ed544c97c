"""What a job asks with is read and checked before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.asked import find_task, read_prompts
from pipelines.config.job import JobConfig
from pipelines.config.make_job import make_job
from pipelines.config.prompts import check_prompting, read_examples
from pipelines.errors import UsageError
from pipelines.jobs.run import run_job
from pipelines.run_state.run_record import check_same_job, recorded_task
from tests.conftest import tone, wav_bytes
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tasks.table import get_task

ASR = get_task("asr")
OWN = "prompt: [{kind: audio, column: audio}]\noutput: text\ninstruction: what?\n"


def put(path: Path, value: object) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def job(task: str, **more: Any) -> JobConfig:
    return JobConfig(task=task, input="in", output="out", **more)


# ---- instructions ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["asr", "ASR"])
def test_prompts_of_a_task_under_any_of_its_names(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "p.json", {"TTS": ["say"], name: ["hear", "listen"]})
    assert read_prompts(path, ASR) == ("hear", "listen")
    assert job("asr", prompts=path).instructions == ("hear", "listen")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"TTS": ["say"]}, "no instructions for task 'asr'"),
        ({"Asr": ["x"]}, "did you mean 'Asr'"),
        ({"ASR": []}, "at least one instruction"),
        ({"ASR": [1]}, "holds 1; an instruction must be text"),
        ({"ASR": ["a", " "]}, "holds ' '"),
        ([1], "holds a list"),
        ("{", "JSON is needed"),
    ],
)
def test_a_prompts_file_never_lends_another_tasks_words(
    tmp_path: Path, value: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_prompts(put(tmp_path / "p.json", value), ASR)


def test_instruction_and_prompts_together_are_refused() -> None:
    with pytest.raises(UsageError, match="both given; leave one out"):
        make_job({"task": "asr", "input": "i", "output": "o", "instruction": "a", "prompts": "p"})


def test_files_that_are_not_there() -> None:
    for action in (lambda: find_task("/no/t.yaml"), lambda: read_prompts("/no/p.json", ASR)):
        with pytest.raises(UsageError, match=r"/no/.*No such file"):
            action()


# ---- identity --------------------------------------------------------------------------------


def test_resuming_with_a_changed_definition_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "own.yaml", OWN)
    before = job(path).identity()
    assert before["task"] == "own"
    assert json.loads(json.dumps(before)) == job(path).identity()
    put(tmp_path / "own.yaml", OWN + "max_frames: 7\n")
    with pytest.raises(UsageError, match=r"definition\.max_frames 500 there, 7 now"):
        check_same_job({"job": before}, job(path).identity(), "out")
    put(tmp_path / "own.yaml", OWN + "summary: only words for people\n")
    check_same_job({"job": before}, job(path).identity(), "out")


def test_instructions_and_examples_count_by_their_contents(tmp_path: Path) -> None:
    prompts = put(tmp_path / "p.json", {"asr": ["a"]})
    assert job("asr", prompts=prompts).identity() == job("asr", instruction="a").identity()
    rows = [{"id": "e", "text": "a", "caption": "b"}]
    examples = {"input": put(tmp_path / "e.jsonl", rows[0])}
    settings = {"instruction": "x", "examples": examples}
    task = put(tmp_path / "t.yaml", "prompt: [{kind: text, column: caption}]\noutput: text\n")
    before = job(task, **settings).identity()
    assert before == job(task, **settings).identity()
    put(tmp_path / "e.jsonl", {**rows[0], "text": "other"})
    assert before != job(task, **settings).identity()


# ---- worked examples -------------------------------------------------------------------------


def parquet(path: Path, rows: list[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def rows_of(count: int) -> list[dict[str, Any]]:
    wave = wav_bytes(tone(0.3))
    return [{"id": f"e{n}", "audio": wave, "text": f"text {n}"} for n in range(count)]


def test_the_first_rows_are_the_examples(tmp_path: Path) -> None:
    source = parquet(tmp_path / "e.parquet", rows_of(4))
    assert [one.id for one in read_examples(source, 2, ASR, 60)] == ["e0", "e1"]
    assert [one.answer for one in read_examples(source, None, ASR, 60)] == [
        f"text {n}" for n in range(4)
    ]
    with pytest.raises(UsageError, match=r"has 4 rows, 5 are asked for"):
        read_examples(source, 5, ASR, 60)


def test_a_bad_example_is_named_before_anything_starts(tmp_path: Path) -> None:
    rows = rows_of(3)
    rows[1]["audio"] = b"junk"
    source = parquet(tmp_path / "e.parquet", rows)
    (tmp_path / "in.jsonl").write_text('{"id": "a", "audio": "x.wav"}\n')
    out = tmp_path / "out"
    settings = {"input": str(tmp_path / "in.jsonl"), "output": str(out), "model": "tiny"}
    with pytest.raises(UsageError, match=r"examples: row 1 \(e1\)"):
        run_job(JobConfig(task="asr", examples={"input": source}, **settings))
    with pytest.raises(UsageError, match="generates nothing"):
        run_job(JobConfig(task="tokenize", examples={"input": source}, **settings))
    assert not out.exists()
    for nowhere in ("weird://x.jsonl", "/no/x.jsonl"):
        with pytest.raises(UsageError, match=r"weird|no such file"):
            read_examples(nowhere, 1, ASR, 60)
    read_examples(source, 1, ASR, 60)


def test_examples_that_leave_no_room_and_unknown_tags(tmp_path: Path) -> None:
    folder = model_folder("tiny")
    model, tokenizer = load_config(folder), folder / "tokenizer/tokenizer.json"
    source = parquet(tmp_path / "e.parquet", [{**rows_of(1)[0], "text": "x" * 2100}])
    examples = read_examples(source, 1, ASR, 60)
    with pytest.raises(ValueError, match=r"2.* of them worked examples.*give fewer examples"):
        check_prompting(ASR, ("a",), examples, Sampling(), 0, model, tokenizer)
    path = put(tmp_path / "t.yaml", OWN + "output_tag: captoin\n")
    with pytest.raises(ValueError, match=r"'captoin' is not one of the model's tags; .*'caption'"):
        check_prompting(find_task(path), ("a",), (), Sampling(), 0, model, tokenizer)


@pytest.mark.parametrize("until", [None, "encode"])
@pytest.mark.parametrize("task", ["own", "asr", "reconstruct", "speech_separation"])
def test_a_record_tells_the_task_to_those_who_read_it_later(
    task: str, until: str | None, tmp_path: Path
) -> None:
    if task == "own":
        path = tmp_path / "own.yaml"
        path.write_text("prompt: [{kind: audio, column: audio}]\noutput: text\n")
        task = str(path)
    job = JobConfig(task=task, input="in", output="out", until=until)
    run = json.loads(json.dumps({"job": job.identity()}))
    shown = {"summary", "aliases", "no_speech", "times"}  # marks and times are none of the job
    assert recorded_task(run).model_dump(exclude=shown) == job.spec.model_dump(exclude=shown)
    assert recorded_task({"job": {"task": "tts"}}) == get_task("tts")
