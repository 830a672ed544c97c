"""How many rows make a unit: by their number, the length of their audio and its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from pipelines.planning.keys.indexed_rows import IndexedRows
from uniaudio2.tasks.spec import AUDIO
from uniaudio2.tasks.table import TaskSpec

_SMALLEST_RUN_UNITS = 8  # so that stages can overlap
_MANY_UNITS = 1024  # of more, units are larger instead
_SMALL_UNIT_ROWS = 32
_LARGEST_UNIT_ROWS = {"audio": 1024, "sound": 128, "text": 1024}  # by what bounds them
# whose waves, 96 KB a second, are 115 MB in the store that stages share
_LARGEST_UNIT_S = 1200.0
_UNKNOWN_S = _LARGEST_UNIT_S / _SMALL_UNIT_ROWS  # what a row counts of which nothing is told


@dataclass(frozen=True)
class UnitBounds:
    """What a unit has at most, in all but where one row alone is more.

    Attributes:
        rows: of it.
        seconds: of their audio.
        unknown_s: what a row counts of which nothing is told.
        bytes: of sound that its rows hold, or name without telling its length.
    """

    rows: int
    seconds: float = inf
    unknown_s: float = 0.0
    bytes: float = inf


def unit_bounds(
    task: TaskSpec, rows: int, unit_rows: int | None, unit_bytes: int, has_former_ids: bool
) -> UnitBounds:
    """The bounds of a run's units.

    Args:
        task: what is read and made.
        rows: of the manifest.
        unit_rows: of a unit, where it is chosen.
        unit_bytes: of a unit.
        has_former_ids: OUTPUT is of a build whose records tell units by their rows' places.
    """
    return UnitBounds(
        unit_rows or unit_size(task, rows, has_former_ids),
        inf if unit_rows else _LARGEST_UNIT_S,
        _UNKNOWN_S if AUDIO in task.columns and not has_former_ids else 0.0,
        inf if has_former_ids else unit_bytes,
    )


def unit_size(task: TaskSpec, rows: int, has_former_ids: bool = False) -> int:
    """How many rows make a unit, where nobody chose: as many as serve the stages, not more than a
    stop may cost.

    A small manifest has at least 8 units; up to 32,768 rows they have 32 rows. Of larger ones there
    are about 1,024, which have more rows, up to what fits into memory and a batch: 1,024 where text
    is read, or audio of which columns tell the length; 128 where sound is made.

    Args:
        task: what is read and made.
        rows: of the manifest.
        has_former_ids: OUTPUT is of a build whose records tell units by their rows' places.
    """
    bound = "sound" if "decode" in task.stages else "audio" if AUDIO in task.columns else "text"
    most = _SMALL_UNIT_ROWS if has_former_ids else _LARGEST_UNIT_ROWS[bound]
    size = min(most, max(_SMALL_UNIT_ROWS, -(-rows // _MANY_UNITS)))
    return max(1, min(size, -(-rows // _SMALLEST_RUN_UNITS)))


def units_of(batches: Iterator[IndexedRows], bounds: UnitBounds) -> Iterator[IndexedRows]:
    """Rows that make a unit, one unit after the other."""
    left: IndexedRows | None = None
    for batch in batches:
        rows = batch if left is None else left.before(batch)
        start = 0
        seconds = np.where(rows.seconds > 0, rows.seconds, bounds.unknown_s)
        for stop in _ends(seconds.tolist(), rows.sizes.tolist(), bounds):
            yield rows.slice(start, stop)
            start = stop
        left = rows.slice(start, len(rows))
    if left is not None and len(left):
        yield left


def _ends(seconds: list[float], sizes: list[int], bounds: UnitBounds) -> Iterator[int]:
    """Where units end that are followed by another row."""
    start, unit_s, unit_bytes = 0, 0.0, 0
    for row, (row_s, row_bytes) in enumerate(zip(seconds, sizes, strict=True)):
        is_full = (
            row - start == bounds.rows
            or unit_s + row_s > bounds.seconds
            or unit_bytes + row_bytes > bounds.bytes
        )
        if row > start and is_full:
            yield row
            start, unit_s, unit_bytes = row, 0.0, 0
        unit_s += row_s
        unit_bytes += row_bytes
