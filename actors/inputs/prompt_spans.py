"""The spans of a row's audio that one prompt each hears, and the one answer that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.batch.names import ID, INPUT_SAMPLES
from actors.batch.table import read_codes
from actors.inputs.audio_columns import read_cuts
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.codec.segments import reason_frames, recon_frames
from uniaudio2.config import RECON_RATE_HZ, CodecConfig
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.seeds import row_seed
from uniaudio2.tokens.codes import Codes


@dataclass(frozen=True)
class PromptSpan:
    """The audio of a row that goes into one prompt: all of it, or a span of a long recording.

    Attributes:
        codes: of the span alone.
        start_s: where it begins in the row's audio.
        end_s: where it ends.
        seed: of its draws.
        row_id: of the row that it is of.
        text: what is said in the place of the row's whole text.
        pause_s: silence behind it.
    """

    codes: Codes
    start_s: float
    end_s: float
    seed: int
    row_id: str
    text: str | None = None
    pause_s: float = 0.0


def prompt_spans(table: pa.Table, row: int, codec: CodecConfig, job_seed: int) -> list[PromptSpan]:
    """The spans of a row, in order; one of all its audio where it was not cut.

    Args:
        table: with codes, and `cuts` where audio was loaded.
        row: its index.
        codec: tells how many codes a span has.
        job_seed: of the row's attempt; with its id, and where a span begins, it decides the seed.
    """
    codes, row_id = read_codes(table, row), table.column(ID)[row].as_py()
    cuts = read_cuts(table, row)
    if cuts is None:
        return [
            PromptSpan(codes, 0.0, _length_s(table, row, codes), row_seed(job_seed, row_id), row_id)
        ]
    spans = []
    for start, stop in cuts:
        frames = reason_frames(stop - start, codec), recon_frames(stop - start, codec)
        own = Codes(codes.reason[: frames[0]], codes.recon[: frames[1]])
        codes = Codes(codes.reason[frames[0] :], codes.recon[frames[1] :])
        seed = row_seed(job_seed, row_id, f"span at {start}")
        spans.append(PromptSpan(own, start / SAMPLE_RATE, stop / SAMPLE_RATE, seed, row_id))
    return spans


def _length_s(table: pa.Table, row: int, codes: Codes) -> float:
    samples = None
    if INPUT_SAMPLES in table.column_names:
        samples = table.column(INPUT_SAMPLES)[row].as_py()
    return len(codes.recon) / RECON_RATE_HZ if samples is None else samples / SAMPLE_RATE


def joined_text(texts: Sequence[str]) -> str:
    """One text of the texts of spans."""
    return " ".join(filter(None, map(str.strip, texts))) if len(texts) != 1 else texts[0]


def joined_reason(answers: Sequence[RequestOutput]) -> str:
    """``length`` if any answer was cut."""
    return "length" if any(answer.finish_reason == "length" for answer in answers) else "stop"


def mean_logprob(answers: Sequence[RequestOutput]) -> float | None:
    """Mean log-probability of the tokens of a row's answers, each by its length; None of none."""
    known = [(one.mean_logprob, one.steps) for one in answers if one.mean_logprob is not None]
    steps = sum(count for _, count in known)
    return sum(mean * count for mean, count in known) / steps if steps else None


def span_texts(spans: Sequence[PromptSpan], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The value of the `spans` result column."""
    return [
        {"start_s": span.start_s, "end_s": span.end_s, "text": text}
        for span, text in zip(spans, texts, strict=True)
    ]
