"""Find the columns of a manifest that a task reads, and those that it ignores.

Every column travels to the results, so of most that are not read nothing is lost and nothing is
said. Said is what a user may believe to take effect: audio and spans of a task that hears nothing,
an instruction where nothing is asked, a channel by a name that is not understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from actors.batch.names import (
    AUDIO_COLUMNS,
    CHANNEL_COLUMNS,
    CODE_SOURCES,
    RECON_CODES,
    SPAN_COLUMNS,
)
from uniaudio2.shown import listed, quoted
from uniaudio2.tasks.spec import AUDIO, VOICE, TaskSpec

_INSTRUCTION = "instruction"
_LOOSE_CHANNEL = "channel"  # the name of anything, which need not be one
_NOT_A_CHANNEL = "channels"
_LISTED = 8


def columns_read(names: Iterable[str], task: TaskSpec) -> tuple[str, ...]:
    """Select the columns that the task reads, in their order."""
    reads = {"id", *task.columns, *task.optional, *task.fallback.values()}
    if task.prompt:
        reads.add(_INSTRUCTION)
    if AUDIO in task.columns:
        reads.update(AUDIO_COLUMNS, SPAN_COLUMNS)
    if task.voiced:
        reads.add(VOICE)
    if (task.audio_columns and not task.voiced) or set(CODE_SOURCES) & reads:
        reads.update(CODE_SOURCES)
    return tuple(name for name in names if name in reads)


def unread_notes(names: Iterable[str], task: TaskSpec) -> Iterator[str]:
    """Notes on columns that say how to read a row, and that the task ignores."""
    names = list(names)
    read = columns_read(names, task)
    meant = {*AUDIO_COLUMNS, *SPAN_COLUMNS, *CODE_SOURCES, _INSTRUCTION} - {_LOOSE_CHANNEL}
    if RECON_CODES in task.columns:  # codes often bring along the audio that they are of
        meant = {_INSTRUCTION}
    if unread := [name for name in names if name in meant and name not in read]:
        yield (
            f"task {task.name} does not read {listed(unread, _LISTED)}; "
            "like all columns they travel to the results"
        )
    if _NOT_A_CHANNEL in names and AUDIO in task.columns:
        yield (
            f"column {quoted(_NOT_A_CHANNEL)} is not understood; {quoted(CHANNEL_COLUMNS[0])} "
            "chooses the channel that is heard, counted from 0"
        )


def channel_notes(schema: pa.Schema, task: TaskSpec) -> Iterator[str]:
    """What to say of a column `channel` that holds text, which may be the name of anything."""
    if AUDIO not in task.columns or _LOOSE_CHANNEL not in schema.names:
        return
    kind = schema.field(_LOOSE_CHANNEL).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        yield (
            f"column {quoted(_LOOSE_CHANNEL)} chooses the channel that is heard where it says "
            "left, right, A, B or a number from 0; its other values are not looked at"
        )
