"""Long texts through real runs of nano: all of them is spoken, and told; short ones stay as they
were."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile

from benchmarks.passages import errors_of_passages
from pipelines import UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.cli.views.rows import find_row, show_row
from pipelines.config.make_job import make_job
from pipelines.run_state.status import read_status
from uniaudio2.scores.words import words_of
from uniaudio2.seeds import row_seed

LONG = (
    "yes no stop go. up down left right, happy dog follow tree, four five six seven. one two three."
)
SHORT = "happy dog follow tree"


def spoken(folder: Path, rows: dict[str, str], *sets: str, task: str = "tts", **given: Any) -> Any:
    """Run a job over texts; its results by id, each with its sound's samples as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": name, "text": text}) for name, text in rows.items()]
    (folder / "in.jsonl").write_text("\n".join(lines))
    names = {"task": task, "input": str(folder / "in.jsonl"), "output": str(folder / "out")}
    run_job(make_job({"executor": "inline", **names, **given}, sets=sets))
    found = {row["id"]: row for row in read_results(names["output"])}
    for row in found.values():
        if row.get("audio_path"):
            row["sound"] = (folder / "out" / row["audio_path"]).read_bytes()
    return found


def facts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "audio_path"}


def test_all_of_a_long_text_is_spoken_and_told(tmp_path: Path) -> None:
    rows = spoken(tmp_path / "new", {"long": LONG, "short": SHORT})
    old = spoken(tmp_path / "old", {"long": LONG, "short": SHORT}, "tts.long_text=whole")
    long, told = rows["long"], rows["long"]["passages"]
    assert " ".join(one["text"] for one in told) == LONG
    assert {one["finish_reason"] for one in told} == {"stop"} == {long["finish_reason"]}
    assert len(told) >= 7
    samples, rate = soundfile.read(tmp_path / "new/out" / long["audio_path"])
    assert rate == 24_000
    assert told[0]["start_s"] >= 0
    assert told[-1]["end_s"] <= long["duration_s"] == len(samples) / rate
    for before, after in itertools.pairwise(told):
        silence = samples[round(before["end_s"] * rate) : round(after["start_s"] * rate)]
        assert len(silence) == pytest.approx(before["pause_s"] * rate, abs=1)
        assert abs(silence[len(silence) // 2]) < 1e-3
    assert {one["pause_s"] for one in told} == {0.4, 0.2, 0.06, 0.0}
    assert long["duration_s"] > 2 * old["long"]["duration_s"]
    # a short row is what it was, to the byte
    assert facts(rows["short"]) == facts(old["short"])
    assert rows["short"]["passages"] is None
    asked = len(words_of(LONG))
    assert errors_of_passages(tmp_path / "new/out", long) <= 0.2 * asked


def test_passages_do_not_depend_on_neighbours_or_order(tmp_path: Path) -> None:
    texts = {"a": LONG[:52], "b": "six seven. " * 5, "c": SHORT}
    quick = ("flow.steps=2",)
    one = spoken(tmp_path / "1", texts, *quick, unit_rows=3)
    other = (*quick, "generate.batch=2")
    two = spoken(tmp_path / "2", dict(reversed(texts.items())), *other, unit_rows=1)
    assert {name: facts(row) for name, row in one.items()} == {
        name: facts(row) for name, row in two.items()
    }
    # equal texts of a row are drawn by seeds of their own
    sounds = {(one["text"], one["end_s"] - one["start_s"]) for one in one["b"]["passages"]}
    assert len({text for text, _ in sounds}) < len(one["b"]["passages"])


def test_a_text_beyond_the_longest_row_is_an_error_of_that_row(tmp_path: Path) -> None:
    spoken(tmp_path, {"long": LONG * 3, "short": SHORT}, "tts.max_row_s=10")
    (error,) = pq.read_table(next((tmp_path / "out/errors").glob("*.parquet"))).to_pylist()
    assert (error["id"], error["kind"]) == ("long", "too_long")
    assert "tts.max_row_s" in error["message"]
    assert [row["id"] for row in read_results(str(tmp_path / "out"))] == ["short"]


def test_an_answer_cut_by_a_limit_is_counted_with_its_passage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ("sampling.max_frames=20", "tts.longest_s=3", "tts.passage_s=3")
    (row,) = spoken(tmp_path, {"long": LONG}, *sets).values()
    assert row["finish_reason"] == "length"
    assert "length" in {one["finish_reason"] for one in row["passages"]}
    assert read_status(str(tmp_path / "out")).marks["cut_short"] == 1
    found = find_row(str(tmp_path / "out"), "long")
    assert found is not None
    show_row(str(tmp_path / "out"), found)
    assert f" s  {row['passages'][1]['text']}" in capsys.readouterr().out


def test_a_passage_that_fails_costs_its_row_one_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(
        json.dumps({"id": "long", "text": LONG, "instruction": "say " * 3000})
        + "\n"
        + json.dumps({"id": "short", "text": SHORT})
    )
    names = {"task": "tts", "input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / "out")}
    run_job(make_job({"executor": "inline", **names}))
    (error,) = pq.read_table(next((tmp_path / "out/errors").glob("*.parquet"))).to_pylist()
    assert (error["id"], error["kind"]) == ("long", "too_long")
    assert error["message"].startswith("passage 1 of ")
    assert [row["id"] for row in read_results(names["output"])] == ["short"]


def test_codes_are_told_by_passage_too(tmp_path: Path) -> None:
    (row,) = spoken(tmp_path, {"long": LONG}, until="generate").values()
    assert row["passages"][-1]["end_s"] == pytest.approx(len(row["recon_codes"]) / 12.5)
    assert row["seed"] == row_seed(0, "long")


def test_settings_that_contradict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tts.passage_s 9 is above tts.longest_s 3"):
        spoken(tmp_path, {"a": LONG}, "tts.longest_s=3", "tts.passage_s=9")
