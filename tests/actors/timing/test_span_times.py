"""Times of a long recording's words against those that are known, by the real stages and nano."""

from __future__ import annotations

import functools
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from rapidfuzz.distance import Levenshtein

from actors.batch.unit import UnitSpec, to_stream
from actors.inputs.prompt_spans import PromptSpan
from actors.stages.encode import Encoder
from actors.stages.generate import Generator
from actors.stages.load import Loader
from actors.timing.span_times import span_levels
from pipelines.config.job import JobConfig
from pipelines.planning.span_policy import span_rule
from uniaudio2.checkpoint.folders import BUNDLED, load_config
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.codes import Codes

FIXTURE = Path(__file__).parents[2] / "fixtures/times"
MODEL = load_config(BUNDLED / "nano")
RATE_HZ = 24_000


def job(**settings: Any) -> JobConfig:
    return JobConfig.model_validate(
        {"task": "asr", "input": "in", "output": "out", "asr": {"no_speech": "keep", **settings}}
    )


@functools.cache
def encoder(levels: bool = True) -> Encoder:
    return Encoder("nano", levels=levels)


@functools.cache
def generator(times: str = "word", slots: int = 16) -> Generator:
    task = job(times=times).spec
    return Generator("nano", task, Sampling.of_model(MODEL, task), 0, slots=slots)


def heard(paths: list[str], times: str = "word", slots: int = 16, levels: bool = True) -> pa.Table:
    rows = pa.table({"id": paths, "audio": paths})
    spec = UnitSpec(0, "", 0, len(paths), "", "f", to_stream(rows))
    asr = job()
    rule = span_rule(asr, MODEL)
    loader = Loader(asr.spec, rows.schema.remove(0), asr.max_duration_s, rule=rule)
    return generator(times, slots)(encoder(levels)(loader(spec.to_table())))


def recording(folder: Path, copies: int) -> tuple[str, list[dict[str, Any]]]:
    """The fixture's speech several times over, and when each of its words is said."""
    wave, _ = soundfile.read(FIXTURE / "words.flac", dtype="float32")
    words = json.loads((FIXTURE / "words.json").read_text())["words"]
    long_s = len(wave) / RATE_HZ
    path = folder / f"{copies}.flac"
    soundfile.write(path, np.tile(wave, copies), RATE_HZ)
    return str(path), [
        {"word": one["word"], "start_s": at * long_s + one["start_s"],
         "end_s": at * long_s + one["end_s"]}
        for at in range(copies) for one in words
    ]  # fmt: skip


def off_s(said: list[dict[str, Any]], words: list[dict[str, Any]]) -> np.ndarray:
    """How far starts and ends of the words that were heard rightly lie from where they are."""
    spoken, told = ([one["word"] for one in some] for some in (said, words))
    pairs = [
        (said[first + step], words[other + step])
        for kind, first, last, other, _ in Levenshtein.opcodes(spoken, told)
        for step in range(last - first if kind == "equal" else 0)
    ]
    assert len(pairs) > 0.9 * len(said)
    return np.abs([(one["start_s"] - w["start_s"], one["end_s"] - w["end_s"]) for one, w in pairs])


def check_order(row: dict[str, Any]) -> None:
    """Times are whole milliseconds, never run backwards and stay within their row and span."""
    words, segments = row["words"], row["segments"]
    times = [one[side] for one in words for side in ("start_s", "end_s")]
    assert all(time == round(time, 3) for time in times)
    assert times == sorted(times)
    assert all(one["start_s"] < one["end_s"] for one in words + segments)
    assert times[-1] <= row["input_samples"] / RATE_HZ
    assert all(one["end_s"] <= other["start_s"] for one, other in pairwise(segments))
    assert {one["start_s"] for one in segments} <= {one["start_s"] for one in words}
    assert " ".join(one["word"] for one in words) == row["text"]
    assert " ".join(one["text"] for one in segments) == row["text"]
    for span in row["spans"]:
        own = [one for one in words if span["start_s"] <= one["start_s"] < span["end_s"]]
        assert len(own) == len(span["text"].split())
        assert all(one["end_s"] <= span["end_s"] for one in own)


@pytest.mark.parametrize("copies", [1, 4, pytest.param(186, marks=pytest.mark.nightly)])
def test_words_of_a_long_recording_are_where_they_are_said(tmp_path: Path, copies: int) -> None:
    """186 copies are an hour: its spans are joined with their times."""
    path, said = recording(tmp_path, copies)
    (row,) = heard([path]).to_pylist()
    assert row["error_kind"] is None
    assert len(row["spans"]) >= 5 * copies
    errors = off_s(said, row["words"])
    assert np.median(errors) <= 0.06
    assert np.percentile(errors, 95) <= 0.2
    assert all(0 < one["confidence"] <= 1 for one in row["words"])
    check_order(row)


def test_times_do_not_depend_on_what_is_heard_beside_them(tmp_path: Path) -> None:
    first, _ = recording(tmp_path, 1)
    second, _ = recording(tmp_path, 2)
    together = heard([first, second]).to_pylist()
    for path, row in zip([second, first], together[::-1], strict=True):
        (alone,) = heard([path], slots=3).to_pylist()
        assert alone["words"] == row["words"]
        assert alone["segments"] == row["segments"]


def test_segments_alone_are_those_that_words_make(tmp_path: Path) -> None:
    path, _ = recording(tmp_path, 1)
    whole, segments, none = (heard([path], times) for times in ("word", "segment", "none"))
    assert segments.column("segments") == whole.column("segments")
    assert segments.column("text") == whole.column("text") == none.column("text")
    assert "words" not in segments.column_names
    assert not {"words", "segments"} & set(none.column_names)


def test_rows_that_come_as_codes_have_coarser_times(tmp_path: Path) -> None:
    path, said = recording(tmp_path, 1)
    table = heard([path], levels=False)
    (row,) = table.to_pylist()
    assert np.median(off_s(said, row["words"])) < 0.2
    check_order(row)


def test_levels_of_other_spans_are_noticed() -> None:
    spans = [
        PromptSpan(Codes.empty(), 0.0, 1.0, 0, "a"),
        PromptSpan(Codes.empty(), 2, 2.005, 0, ""),
    ]
    first, second = span_levels(np.arange(101).astype(np.uint8), spans)
    assert first is not None
    assert second is not None
    assert (first[-1], second.tolist()) == (99, [100])
    assert span_levels(None, spans) == [None, None]
    assert span_levels(np.zeros(100, np.uint8), []) == []
    with pytest.raises(RuntimeError, match="100 levels are of other spans, which have 101"):
        span_levels(np.zeros(100, np.uint8), spans)
