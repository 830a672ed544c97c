"""The pieces in which a row's audio is heard, and the one answer that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.batch.schema import ID, INPUT_SAMPLES
from actors.batch.table import read_codes
from actors.inputs.audio import read_cuts
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.codec.segments import reason_tokens, recon_tokens
from uniaudio2.config import RECON_RATE_HZ, CodecConfig
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.seeds import row_seed
from uniaudio2.tokens.codes import Codes


@dataclass(frozen=True)
class Piece:
    """What goes into one prompt.

    Attributes:
        codes: of the piece alone.
        start_s: where it begins in the row's audio.
        end_s: where it ends.
        seed: of its draws.
        row_id: of the row that it is of.
    """

    codes: Codes
    start_s: float
    end_s: float
    seed: int
    row_id: str


def pieces_of(table: pa.Table, row: int, codec: CodecConfig, job_seed: int) -> list[Piece]:
    """The pieces of a row, in order: all of it, or the spans into which it was cut.

    Args:
        table: with codes, and `cuts` where audio was loaded.
        row: its position.
        codec: tells how many codes a span has.
        job_seed: with the row's id and a span's beginning, it decides the span's seed.
    """
    codes, row_id = read_codes(table, row), table.column(ID)[row].as_py()
    cuts = read_cuts(table, row)
    if cuts is None:
        return [Piece(codes, 0.0, _length_s(table, row, codes), row_seed(job_seed, row_id), row_id)]
    pieces = []
    for start, stop in cuts:
        frames = reason_tokens(stop - start, codec), recon_tokens(stop - start, codec)
        own = Codes(codes.reason[: frames[0]], codes.recon[: frames[1]])
        codes = Codes(codes.reason[frames[0] :], codes.recon[frames[1] :])
        seed = row_seed(job_seed, row_id, f"span at {start}")
        pieces.append(Piece(own, start / SAMPLE_RATE, stop / SAMPLE_RATE, seed, row_id))
    return pieces


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


def span_texts(pieces: Sequence[Piece], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The value of the `spans` result column."""
    return [
        {"start_s": piece.start_s, "end_s": piece.end_s, "text": text}
        for piece, text in zip(pieces, texts, strict=True)
    ]
