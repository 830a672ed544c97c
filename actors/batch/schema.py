"""Columns by name and type: those of manifests that mean something, and those that stages add.

A unit travels as one Arrow table. Each stage states what it reads of that table and what it writes
(`StageColumns`), and `check_stages` holds that together before anything is started: a stage that
reads what no stage before it writes is found in the plan and not on row one million.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from uniaudio2.config import CODEBOOKS

# ---- columns of manifests ---------------------------------------------------------------------

# what a reader of manifests says of a row that it could not read
FAULT_COLUMN = "_manifest_fault"
# what names or holds a row's audio, the first that has a value; the second is NeMo's
AUDIO_COLUMNS = ("audio", "audio_filepath")
# the sampling rate in Hz of samples that a manifest holds itself
RATE_COLUMNS = ("sampling_rate", "sample_rate")
MOST_CHANNELS = 32  # of a file whose channels are rows, and of samples
# which part of a file is a row's audio
CHANNEL_COLUMNS = ("audio_channel", "channel", "channel_selector")
SPAN_COLUMNS = ("start_s", "end_s", "offset", "duration", *CHANNEL_COLUMNS)
# codes in its place, and what names the files of a published pair
REASON_CODES, RECON_CODES = "reason_codes", "recon_codes"
CODE_COLUMNS = (REASON_CODES, RECON_CODES)
CODE_PATHS = {REASON_CODES: "reason_path", RECON_CODES: "recon_path"}
CODE_SOURCES = (*CODE_PATHS, *CODE_PATHS.values())

# ---- columns of the table that travels --------------------------------------------------------

SPEC, ROWS = "spec", "rows"  # a unit's address, before its rows are read
UNIT, ROW, FINGERPRINT = "unit", "row", "fingerprint"
PLACE = "place"  # the row of the unit, where several may come of it
ID, INPUT = "id", "input"
ERROR_STAGE, ERROR_KIND, ERROR_MESSAGE = "error_stage", "error_kind", "error_message"
ERROR_COLUMNS = (ERROR_STAGE, ERROR_KIND, ERROR_MESSAGE)
WAVE, SOURCE, CUTS, INPUT_SAMPLES = "wave", "source", "cuts", "input_samples"
TEXT, SPANS, FINISH_REASON = "text", "spans", "finish_reason"
# what is to be known about how a row's audio was read, see docs/audio-formats.md
INPUT_MIX, INPUT_SHORT_BY_S = "input_mix", "input_short_by_s"
INPUT_DAMAGED_S, INPUT_UNFINISHED = "input_damaged_s", "input_unfinished"
OUTPUT_WAVE = "output_wave"
STAGE_TIMES, DONE = "stage_times", "done"
# columns of data parts that no stage before the last one has
TASK, SEED, MODEL = "task", "seed", "model"
AUDIO_PATH, DURATION_S, INPUT_DURATION_S = "audio_path", "duration_s", "input_duration_s"
RECEIPT, FAULT = "receipt", "fault"  # what a unit comes to: a table of one row

CODES_TYPE = pa.list_(pa.list_(pa.uint16(), CODEBOOKS))  # [T][8]
WAVE_TYPE = pa.large_binary()  # [N] float32, mono, 24 kHz
SPAN_TEXTS_TYPE = pa.list_(
    pa.struct([("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string())])
)
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
    **MARK_TYPES,
    REASON_CODES: CODES_TYPE,
    RECON_CODES: CODES_TYPE,
    TEXT: pa.string(),
    SPANS: SPAN_TEXTS_TYPE,
    FINISH_REASON: pa.string(),
    OUTPUT_WAVE: WAVE_TYPE,
    STAGE_TIMES: pa.string(),
    DONE: pa.string(),
}
ALWAYS = (UNIT, ROW, FINGERPRINT, ID, INPUT, *ERROR_COLUMNS)


def family(column: str) -> str:
    """The name that decides a column's type: without the number of a further sound (``_2``) or the
    name of a further audio column (``:NAME``)."""
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
