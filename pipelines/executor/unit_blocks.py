"""Units into a Ray Data stream, one block each, whatever their number."""

from __future__ import annotations

from typing import Any

import ray.data
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

from actors.batch.unit import UnitSpec, units_table

_UNITS_AT_ONCE = 256
_UNITS_AHEAD = 256


class UnitsAhead(BackpressurePolicy):  # type: ignore[misc] # ray ships no types
    """Hands out units only a little ahead of the loading stage.

    Ray Data holds a stage back by the bytes that it has put out. Addresses of units are so small
    that it would put out all of them, and its scheduler would do nothing else meanwhile.
    """

    def can_add_input(self, op: Any) -> bool:
        """Take the next units apart when nothing does, and few wait to be loaded."""
        if not str(op.name).startswith("StreamingRepartition"):
            return True
        after = list(self._topology.values())[2:3]  # its input, itself, the loading stage
        waiting = sum(int(state.total_enqueued_input_blocks()) for state in after)
        return op.num_active_tasks() == 0 and waiting < _UNITS_AHEAD


def unit_source(units: list[UnitSpec]) -> ray.data.Dataset:
    """A stream whose blocks are units, in one row each.

    They lie in blocks of many, which tasks take apart as units are wanted. A block a unit from the
    start would cost the driver a remote call and 60 KB for each, before the first is read and for
    as long as the run lasts.
    """
    context = ray.data.DataContext.get_current()
    policies = [*ENABLED_BACKPRESSURE_POLICIES, UnitsAhead]
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)
    tables = [
        units_table(units[start : start + _UNITS_AT_ONCE])
        for start in range(0, len(units), _UNITS_AT_ONCE)
    ]
    stream = ray.data.from_arrow(tables).repartition(target_num_rows_per_block=1)
    # With a CPU of its own a task would hold what a pool or a reader needs, and where pools hold
    # all but a share of one it would never start. There is no public way to say so.
    options: dict[str, Any] = stream._logical_plan.dag.ray_remote_args
    options["num_cpus"] = 0
    return stream
