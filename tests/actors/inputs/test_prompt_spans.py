"""A recording far longer than a prompt: heard span by span, answered in one row."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from actors.batch.table import start_table, write_codes
from actors.batch.unit import UnitSpec, to_stream
from actors.inputs import audio
from actors.inputs.prompt_spans import joined_reason, joined_text, prompt_spans
from actors.stages.encode import Encoder
from actors.stages.generate import Generator
from actors.stages.load import Loader
from pipelines.cli.demo import EXAMPLES
from pipelines.config.job import JobConfig
from pipelines.planning.span_policy import span_rule
from uniaudio2.audio.files import decode_audio
from uniaudio2.checkpoint.folders import BUNDLED, load_config
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.seeds import row_seed
from uniaudio2.tokens.codes import Codes

JOB = JobConfig(task="asr", input="in", output="out")
MODEL = load_config(BUNDLED / "nano")
ASR = JOB.spec


@functools.cache
def generator(slots: int) -> Generator:
    return Generator("nano", ASR, Sampling.of_model(MODEL, ASR), 0, slots=slots)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[tuple[float, str]]]:
    """The bundled speech twice over with silences between, and when each text begins."""
    rng = np.random.default_rng(1)
    rows = [json.loads(line) for line in (EXAMPLES / "speech.jsonl").read_text().splitlines()]
    parts, said, at = [], [], 0
    for row in rows + rows:
        clip = decode_audio((EXAMPLES / row["audio"]).read_bytes())
        silence = int(24_000 * rng.uniform(0.6, 2.0))
        said.append(((at + silence) / 24_000, row["text"]))
        parts += [torch.zeros(silence), clip]
        at += silence + len(clip)
    path = tmp_path_factory.mktemp("long") / "a.flac"
    soundfile.write(path, torch.cat(parts).numpy(), 24_000)
    return str(path), said


def heard(path: str, batch: int, slots: int) -> dict[str, Any]:
    rows = pa.table({"id": ["a"], "audio": [path]})
    spec = UnitSpec(0, "", 0, 1, "", "f", to_stream(rows))
    loader = Loader(ASR, rows.schema.remove(0), rule=span_rule(JOB, MODEL))
    table = Encoder("nano", batch)(loader(spec.to_table()))
    (row,) = generator(slots)(table).to_pylist()
    return {name: row[name] for name in ("error_kind", "text", "spans", "finish_reason")}


def test_a_recording_of_many_sentences_is_one_row(
    recording: tuple[str, list[tuple[float, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = recording
    row = heard(path, batch=6, slots=16)
    assert (row["error_kind"], row["finish_reason"]) == (None, "stop")
    assert len(row["spans"]) == len(said)
    assert row["text"] == " ".join(span["text"] for span in row["spans"])
    assert jiwer.wer(" ".join(text for _, text in said), row["text"]) < 0.1
    for span, (start_s, _) in zip(row["spans"], said, strict=True):
        assert span["start_s"] == pytest.approx(start_s, abs=0.1)
        assert span["start_s"] < span["end_s"] <= span["start_s"] + 4
    monkeypatch.setattr(audio, "WHOLE_S", 5.0)  # as if it were too long for memory
    assert heard(path, batch=1, slots=3) == row


def test_pieces_share_the_codes_of_a_row_in_order() -> None:
    codec = MODEL.codec
    cuts = [[0, 4_800], [9_600, 20_000], [30_000, 31_000]]
    lengths = [(2, 3), (3, 6), (1, 1)]
    reason, recon = (sum(pair[place] for pair in lengths) for place in (0, 1))
    codes = Codes(
        torch.arange(reason)[:, None].repeat(1, 8), torch.arange(recon)[:, None].repeat(1, 8)
    )
    table = start_table(["a", "b"], pa.array([{"x": 1}] * 2), 0)
    table = write_codes(table, {0: codes, 1: codes})
    table = table.append_column("cuts", pa.array([cuts, None], pa.list_(pa.list_(pa.int64(), 2))))
    pieces = prompt_spans(table, 0, codec, 5)
    assert [(len(p.codes.reason), len(p.codes.recon)) for p in pieces] == lengths
    assert torch.equal(Codes.join([p.codes for p in pieces]).recon, codes.recon)
    assert [(p.start_s, p.end_s) for p in pieces][1] == (0.4, 20_000 / 24_000)
    assert len({p.seed for p in pieces}) == 3
    (whole,) = prompt_spans(table, 1, codec, 5)
    assert (whole.seed, whole.end_s) == (row_seed(5, "b"), recon / 12.5)


def test_texts_and_reasons_of_spans_become_one() -> None:
    assert joined_text([" one ", "", "two"]) == "one two"
    assert joined_text([]) == ""
    assert joined_text([" as it is "]) == " as it is "
    ends = [RequestOutput([], Codes.empty(), reason, 1) for reason in ("stop", "length")]
    assert [joined_reason(ends[:1]), joined_reason(ends), joined_reason([])] == [
        "stop", "length", "stop",
    ]  # fmt: skip


def test_silence_alone_is_an_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(24_000 * 10, np.float32), 24_000)
    row = heard(str(path), batch=6, slots=3)
    assert row == {"error_kind": None, "text": "", "spans": [], "finish_reason": "no_speech"}
