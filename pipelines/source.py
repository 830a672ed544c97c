"""Units into a Ray Data stream, one block each, whatever their number."""

from __future__ import annotations

from typing import Any

import ray.data

from actors.unit import UnitSpec, units_table


def unit_source(units: list[UnitSpec]) -> ray.data.Dataset:
    """A stream whose blocks are units, in one row each.

    All of them lie in one block that a single task takes apart as fast as they are wanted. A block
    a unit from the start would cost the driver a remote call and 60 KB for each, before the first
    is read and for as long as the run lasts.
    """
    whole = ray.data.from_arrow([units_table(units)])
    stream = whole.repartition(target_num_rows_per_block=1)
    # It waits for the others nearly always: with a CPU of its own it would hold what a pool or a
    # reader needs, and where pools hold all but a share of one it would never start. There is no
    # public way to say so.
    options: dict[str, Any] = stream._logical_plan.dag.ray_remote_args
    options["num_cpus"] = 0
    return stream
