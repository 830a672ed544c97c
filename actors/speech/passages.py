"""Long texts of rows: spoken in passages, one request each, and joined to one sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from torch import Tensor

from actors.batch.names import PASSAGES
from actors.inputs.prompt_spans import PromptSpan
from uniaudio2.audio.joining import join_speech
from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.config import RECON_RATE_HZ
from uniaudio2.errors import BadRow
from uniaudio2.lm.engine.request import RequestOutput
from uniaudio2.seeds import row_seed
from uniaudio2.tasks.passages import PassageRule, cut_passages, spoken_letters
from uniaudio2.tokens.codes import Codes

Cells = list[dict[str, Any]]


def purpose_of(passage: int) -> str:
    """The stream of random draws of a passage by its number; the first one has the row's own."""
    return f"passage {passage}" if passage else ""


def with_passages(
    span: PromptSpan, text: str, rule: PassageRule, job_seed: int
) -> list[PromptSpan]:
    """What is asked to speak a row: one prompt, or one for each passage of a long text.

    Args:
        span: of the whole row; it hears the same recording in every passage.
        text: to be said.
        rule: how it is cut.
        job_seed: with the row's id and a passage's number, it decides the passage's seed.

    Raises:
        BadRow: `too_long`.
    """
    if (letters := spoken_letters(text)) > rule.most:
        raise BadRow(
            "too_long",
            f"the text is about as long as {letters:,.0f} letters; a row speaks {rule.most:,.0f} "
            "at most: cut it into rows, or raise tts.max_row_s",
        )
    passages = cut_passages(text, rule)
    if len(passages) == 1:
        return [span]
    return [
        replace(
            span,
            seed=span.seed if not number else row_seed(job_seed, span.row_id, purpose_of(number)),
            text=passage.of(text),
            pause_s=rule.pause_s(passage.end) if number + 1 < len(passages) else 0.0,
        )
        for number, passage in enumerate(passages)
    ]


def named_passage(error: BadRow, number: int, count: int) -> BadRow:
    """An error with the passage that it is of, where a row has several.

    Args:
        error: what went wrong.
        number: of the passage, from 0.
        count: how many there are.
    """
    if count == 1:
        return error
    return BadRow(error.kind, f"passage {number + 1} of {count}: {error.message}")


def passage_cells(spans: Sequence[PromptSpan], outputs: Sequence[RequestOutput]) -> Cells | None:
    """The value of the `passages` column as codes tell it: without pauses.

    Args:
        spans: of a row, one a passage.
        outputs: their answers.
    """
    if len(spans) == 1:
        return None
    cells, at = [], 0
    for span, output in zip(spans, outputs, strict=True):
        start, at = at, at + len(output.sounds[0].recon)
        cells.append(
            {
                "text": span.text,
                "start_s": start / RECON_RATE_HZ,
                "end_s": at / RECON_RATE_HZ,
                "pause_s": span.pause_s,
                "finish_reason": output.finish_reason,
            }
        )
    return cells


def read_passages(table: pa.Table, row: int) -> Cells | None:
    """The passages of a row; None where its text was said as one."""
    if PASSAGES not in table.column_names:
        return None
    cells: Cells | None = table.column(PASSAGES)[row].as_py()
    return cells


def split_codes(codes: Codes, cells: Cells | None) -> list[Codes]:
    """The codes of each passage, from those of the whole row; they need no reasoning codes."""
    if cells is None:
        return [codes]
    ends = [round(cell["end_s"] * RECON_RATE_HZ) for cell in cells]
    starts = [0, *ends[:-1]]
    return [
        Codes(codes.reason[:0], codes.recon[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def joined_passages(waves: Sequence[Tensor], cells: Cells) -> tuple[Tensor, Cells]:
    """The sound of a row, ``[N]``, and its passages with the times that they have in it."""
    joined = join_speech(waves, [cell["pause_s"] for cell in cells])
    told = [
        {**cell, "start_s": start / SAMPLE_RATE, "end_s": stop / SAMPLE_RATE}
        for cell, (start, stop) in zip(cells, joined.places, strict=True)
    ]
    return joined.wave, told
