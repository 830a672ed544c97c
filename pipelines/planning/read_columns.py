"""Which columns of a manifest a task reads, and which it passes by though they say how to read.

Every column travels to the results, so of most that are not read nothing is lost and nothing is
said. Said is what a user may believe to take effect: audio and spans of a task that hears nothing,
an instruction where nothing is asked, a channel by a name that is not understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.batch.schema import RECON_CODES, SPAN_COLUMNS
from actors.inputs.audio import AUDIO_COLUMNS
from actors.inputs.codes import CODE_SOURCES
from uniaudio2.shown import listed, quoted
from uniaudio2.tasks.spec import AUDIO, TaskSpec

_INSTRUCTION = "instruction"
_CHANNEL = "audio_channel"
_CHANNELS = ("channel", "channels", "channel_selector")
_LISTED = 8


def columns_read(names: Iterable[str], task: TaskSpec) -> tuple[str, ...]:
    """Those of the columns that the task reads, in their order."""
    reads = {"id", *task.columns, *task.optional, *task.fallback.values()}
    if task.prompt:
        reads.add(_INSTRUCTION)
    if AUDIO in task.columns:
        reads.update(AUDIO_COLUMNS, SPAN_COLUMNS)
    if task.audio_columns or set(CODE_SOURCES) & reads:
        reads.update(CODE_SOURCES)
    return tuple(name for name in names if name in reads)


def unread_notes(names: Iterable[str], task: TaskSpec) -> Iterator[str]:
    """What to say of columns that say how to read a row, and that the task does not read."""
    names = list(names)
    read = columns_read(names, task)
    meant = {*AUDIO_COLUMNS, *SPAN_COLUMNS, *CODE_SOURCES, _INSTRUCTION}
    if RECON_CODES in task.columns:  # codes often bring along the audio that they are of
        meant = {_INSTRUCTION}
    if unread := [name for name in names if name in meant and name not in read]:
        yield (
            f"task {task.name} does not read {listed(unread, _LISTED)}; "
            "like all columns they travel to the results"
        )
    for name in names:
        if name in _CHANNELS and name not in read and AUDIO in task.columns:
            yield (
                f"column {quoted(name)} is not understood; {quoted(_CHANNEL)} chooses the channel "
                "that is heard, counted from 0"
            )
