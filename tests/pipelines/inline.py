"""The real stages of a run one after the other in this process: whole runs without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from actors.batch.stage_times import read_times
from actors.batch.unit import UnitSpec
from actors.stages.fault_boundary import Guard
from pipelines.executor.graph import Stages
from pipelines.executor.pool_sizing import Allotment


def stream_inline(
    units: list[UnitSpec], stages: Stages, allotment: Allotment, alone: bool = False
) -> Iterator[dict[str, Any]]:
    """What `stream_units` yields, in the order of the units."""
    made = {pool.name: stages.pools[pool.name] for pool in allotment.pools}
    pools = {name: kind(**arguments) for name, (kind, arguments) in made.items()}
    for unit in units:
        table = unit.to_table()
        for name, stage in {"load": stages.load, **pools, "write": stages.write}.items():
            table = Guard(name, stages.timeout_s).call(table, stage)
        if "fault" in table.column_names:
            yield json.loads(table["fault"][0].as_py())
        else:
            yield {**json.loads(table["receipt"][0].as_py()), "stages": read_times(table)}
