"""Units into a Ray Data stream, one block each, whatever their number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray.data

from actors.batch.unit import UnitSpec, units_table
from pipelines.executor.ray_internals import (
    BackpressurePolicy,
    add_backpressure,
    free_of_cpus,
    is_splitter,
    waiting_for_first_stage,
)
from pipelines.planning.units.feed import UnitFeed

_UNITS_AT_ONCE = 256
_UNITS_AHEAD = 256
_GIVEN_FIRST, _GIVEN_AT_ONCE = 32, 16  # where more may come while a stream runs
_LOST_AFTER_S = 10.0


class UnitsAhead(BackpressurePolicy):  # type: ignore[misc] # ray ships no types
    """Hands out units only a little ahead of the loading stage.

    Ray Data holds a stage back by the bytes that it has put out. Addresses of units are so small
    that it would put out all of them, and its scheduler would do nothing else meanwhile.
    """

    def can_add_input(self, op: Any) -> bool:
        """Take the next units apart when nothing does, and few wait to be loaded."""
        if not is_splitter(op):
            return True
        return op.num_active_tasks() == 0 and waiting_for_first_stage(self) < _UNITS_AHEAD


class FeedSupply:
    """Gives a stream what a feed has, in the place of a worker that takes it; see `Supply`.

    Args:
        feed: of units.
        given: takes in the units that are handed on, by number and row.
    """

    def __init__(self, feed: UnitFeed, given: dict[tuple[int, int | None], UnitSpec]) -> None:
        self._feed, self._given = feed, given
        self._at_rest_since: float | None = None

    def first(self) -> list[UnitSpec]:
        """Units to begin with."""
        units = self._feed.take_now(_GIVEN_FIRST)
        self._given.update(((unit.unit, unit.row), unit) for unit in units)
        return units

    def more(self) -> Any:
        """See `Supply.more`."""
        units = self._feed.take_now(_GIVEN_AT_ONCE)
        self._given.update(((unit.unit, unit.row), unit) for unit in units)
        return units_table(units) if units else None

    @property
    def is_over(self) -> bool:
        """See `Supply.is_over`."""
        return self._feed.is_over

    def rests(self, is_at_rest: bool) -> None:
        """A stream in which nothing is under way for long has lost a unit: it ends, and what is
        left is for the next one."""
        if not is_at_rest:
            self._at_rest_since = None
            return
        self._at_rest_since = self._at_rest_since or time.monotonic()
        if time.monotonic() - self._at_rest_since > _LOST_AFTER_S:
            self._feed.close()


def unit_source(units: Sequence[UnitSpec]) -> ray.data.Dataset:
    """A stream whose blocks are units, in one row each.

    They lie in blocks of many, which tasks take apart as units are wanted. A block a unit from the
    start would cost the driver a remote call and 60 KB for each, before the first is read and for
    as long as the run lasts.
    """
    add_backpressure(UnitsAhead)
    tables = [
        units_table(units[start : start + _UNITS_AT_ONCE])
        for start in range(0, len(units), _UNITS_AT_ONCE)
    ]
    # `from_arrow` would have a task look at each table, which waits for a whole free CPU: for ever,
    # where others hold all but a share of them
    stream = ray.data.from_blocks(tables).repartition(target_num_rows_per_block=1)
    # With a CPU of its own a task would hold what a pool or a reader needs, and where pools hold
    # all but a share of one it would never start.
    free_of_cpus(stream)
    return stream
