"""Columns by name and type: those of manifests that mean something, and those that stages add.

A unit travels as one Arrow table. Each stage states what it reads of that table and what it writes
(`StageColumns`), and `check_stages` holds that together before anything is started: a stage that
reads what no stage before it writes is found in the plan and not on row one million.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.names import (
    ATTEMPT,
    ATTEMPTS,
    CUT_BY_LIMIT,
    CUTS,
    DONE,
    ERROR_COLUMNS,
    ERROR_KIND,
    ERROR_MESSAGE,
    ERROR_STAGE,
    FAILED_ATTEMPTS,
    FINGERPRINT,
    FINISH_REASON,
    ID,
    INPUT,
    INPUT_DAMAGED_S,
    INPUT_MIX,
    INPUT_SAMPLES,
    INPUT_SHORT_BY_S,
    INPUT_UNFINISHED,
    LEVELS,
    MADE_AGAIN,
    MEAN_LOGPROB,
    NO_SPEECH,
    OUTPUT_WAVE,
    PASSAGES,
    PLACE,
    REASON_CODES,
    RECON_CODES,
    REFERENCE_FAULT,
    ROW,
    SCORE_REASONS,
    SEGMENTS,
    SOURCE,
    SPANS,
    SPOKEN,
    STAGE_TIMES,
    TEXT,
    UNIT,
    UNVERIFIED,
    VERIFIED,
    VOICE,
    WAVE,
    WORDS,
)
from uniaudio2.config import CODEBOOKS
from uniaudio2.scores.spec import PREFIX

CODES_TYPE = pa.list_(pa.list_(pa.uint16(), CODEBOOKS))  # [T][8]
WAVE_TYPE = pa.large_binary()  # [N] float32, mono, 24 kHz
SPAN_TEXTS_TYPE = pa.list_(
    pa.struct([("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string())])
)
PASSAGES_TYPE = pa.list_(
    pa.struct(
        [
            ("text", pa.string()),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("pause_s", pa.float64()),
            ("finish_reason", pa.string()),
        ]
    )
)
WORDS_TYPE = pa.list_(
    pa.struct(
        [
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("word", pa.string()),
            ("confidence", pa.float64()),
        ]
    )
)
LEVELS_TYPE = pa.binary()  # [F] uint8, half decibels above -100 dB
SPANS_TYPE = pa.list_(pa.list_(pa.int64(), 2))  # first sample and the one after the last
POLICY_TYPE = pa.struct(
    [("base", pa.string()), ("allow", pa.list_(pa.string())), ("tar", pa.string())]
)
SOURCE_TYPE = pa.struct(
    [
        ("uri", pa.string()),
        ("data", pa.large_binary()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("channel", pa.int64()),
        ("policy", POLICY_TYPE),
        ("limits", pa.struct([("max_bytes", pa.int64()), ("timeout_s", pa.float64())])),
        ("files", pa.list_(pa.string())),
    ]
)
MARK_TYPES: dict[str, pa.DataType] = {
    INPUT_MIX: pa.string(),
    INPUT_SHORT_BY_S: pa.float64(),
    INPUT_DAMAGED_S: pa.float64(),
    INPUT_UNFINISHED: pa.bool_(),
}
MARKS = tuple(MARK_TYPES)
CUT_SHORT = "cut_short"
# counted where a job has a rule: rows that keep it, those that do not, and what was made again
VERDICTS = (VERIFIED, UNVERIFIED, MADE_AGAIN)
# what is counted as marks are, though `finish_reason` says it: how an answer ended
ENDINGS = {CUT_SHORT: CUT_BY_LIMIT, NO_SPEECH: NO_SPEECH}
SCORE_TYPE = pa.float64()
# which attempt, the row's key, and the file that holds the best of those before
ATTEMPT_TYPE = pa.struct([("number", pa.int64()), ("key", pa.binary()), ("earlier", pa.string())])
FAILED_TYPE = pa.list_(
    pa.struct(
        [
            ("attempt", pa.int32()),
            ("seed", pa.int64()),
            ("reason", pa.string()),
            ("rank", pa.float64()),
        ]
    )
)
REASONS_TYPE = pa.list_(pa.struct([("score", pa.string()), ("reason", pa.string())]))
# `input` has the manifest's own columns, so its type is the manifest's
TRAVELLING: dict[str, pa.DataType] = {
    UNIT: pa.int64(),
    ROW: pa.int64(),
    FINGERPRINT: pa.string(),
    PLACE: pa.int64(),
    ID: pa.string(),
    ERROR_STAGE: pa.string(),
    ERROR_KIND: pa.string(),
    ERROR_MESSAGE: pa.string(),
    WAVE: WAVE_TYPE,
    SOURCE: SOURCE_TYPE,
    CUTS: SPANS_TYPE,
    INPUT_SAMPLES: pa.int64(),
    SPOKEN: pa.bool_(),
    LEVELS: LEVELS_TYPE,
    MEAN_LOGPROB: pa.float64(),
    **MARK_TYPES,
    REASON_CODES: CODES_TYPE,
    RECON_CODES: CODES_TYPE,
    TEXT: pa.string(),
    SPANS: SPAN_TEXTS_TYPE,
    SEGMENTS: SPAN_TEXTS_TYPE,
    WORDS: WORDS_TYPE,
    FINISH_REASON: pa.string(),
    PASSAGES: PASSAGES_TYPE,
    VOICE: pa.string(),
    OUTPUT_WAVE: WAVE_TYPE,
    PREFIX: SCORE_TYPE,
    SCORE_REASONS: REASONS_TYPE,
    REFERENCE_FAULT: pa.string(),
    ATTEMPT: ATTEMPT_TYPE,
    STAGE_TIMES: pa.string(),
    DONE: pa.string(),
}
ALWAYS = (UNIT, ROW, FINGERPRINT, ID, INPUT, *ERROR_COLUMNS)


def family(column: str) -> str:
    """The name that decides a column's type: without the number of a further sound (``_2``) or the
    name of a further audio column (``:NAME``); all scores have one."""
    if column.startswith(PREFIX) and column != SCORE_REASONS:
        return PREFIX
    name = column.partition(":")[0]
    stem, _, number = name.rpartition("_")
    return stem if number.isdigit() and stem in TRAVELLING else name


@dataclass(frozen=True)
class StageColumns:
    """What one stage does to the table.

    Attributes:
        reads: columns that must be there when it is called.
        writes: columns that are there when it returns.
        drops: columns that are not there any more.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()


def check_stages(stages: Mapping[str, StageColumns]) -> tuple[str, ...]:
    """Follow the table through all stages, in their order.

    Returns:
        the columns of the table that the last stage is given.

    Raises:
        ValueError: a stage reads or drops a column that is not there, or writes one of no type.
    """
    there: dict[str, None] = {}
    before = there
    for stage, columns in stages.items():
        before = dict(there)
        absent = [name for name in (*columns.reads, *columns.drops) if name not in there]
        if absent:
            raise ValueError(
                f"stage {stage!r} reads column {absent[0]!r}, which no stage before it writes; "
                f"there are {', '.join(there) or 'none'}: correct the task's stages"
            )
        unknown = [n for n in columns.writes if n != INPUT and family(n) not in TRAVELLING]
        if unknown:
            raise ValueError(
                f"stage {stage!r} writes column {unknown[0]!r}, which has no type; add it to "
                "`TRAVELLING`"
            )
        there = {name: None for name in there if name not in columns.drops}
        there |= dict.fromkeys(columns.writes)
    return tuple(before)


def check_table(table: pa.Table, stage: str, columns: StageColumns) -> None:
    """Hold what a stage returned against what it states.

    Raises:
        RuntimeError: a column is absent, still there, or of another type.
    """
    for name in columns.writes:
        if name not in table.column_names:
            raise RuntimeError(f"stage {stage!r} did not write column {name!r}")
        wanted = TRAVELLING.get(family(name))
        kind = table.schema.field(name).type
        if wanted is not None and kind != wanted:
            raise RuntimeError(f"stage {stage!r} wrote {name!r} as {kind}; it is {wanted}")
    kept = [name for name in columns.drops if name in table.column_names]
    if kept:
        raise RuntimeError(f"stage {stage!r} left column {kept[0]!r}, which it drops")


def count_marks(
    table: pa.Table, names: Iterable[str] = (*MARKS, *ENDINGS, *VERDICTS)
) -> dict[str, int]:
    """How many rows of results bear each of some marks; those that none bears are left out."""
    counts = {}
    for name in names:
        if name in ENDINGS:
            counts[name] = _count_ended(table, ENDINGS[name])
        elif name in VERDICTS:
            counts[name] = _count_verified(table, name)
        elif name in table.column_names:
            counts[name] = table.num_rows - table[name].null_count
    return {name: count for name, count in counts.items() if count}


def _count_ended(table: pa.Table, reason: str) -> int:
    """How many answers ended for a reason; a column of that name may be the manifest's own."""
    if FINISH_REASON not in table.column_names:
        return 0
    column = table[FINISH_REASON]
    return pc.sum(pc.equal(column, reason)).as_py() or 0 if pa.types.is_string(column.type) else 0


def _count_verified(table: pa.Table, name: str) -> int:
    """How many rows were made again, or pass no rule, where a run looked; a manifest may have
    columns of these names."""
    if pa.field(FAILED_ATTEMPTS, FAILED_TYPE) not in list(table.schema):
        return 0
    wanted = pc.greater(table[ATTEMPTS], 1) if name == MADE_AGAIN else table[VERIFIED]
    return pc.sum(pc.invert(wanted) if name == UNVERIFIED else wanted).as_py() or 0
