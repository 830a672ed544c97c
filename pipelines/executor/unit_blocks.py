"""Units into a Ray Data stream, one block each, whatever their number."""

from __future__ import annotations

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

_UNITS_AT_ONCE = 256
_UNITS_AHEAD = 256


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
