"""A real decode stage that misbehaves for the ids it is told."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from actors.decode import Decoder
from pipelines.config import JobConfig
from pipelines.graph import Stages, make_stages
from pipelines.resources import Allotment


class FaultyDecoder:
    """Decode, but end the process or raise when a given id is in the table."""

    def __init__(self, kill: str = "", fail: str = "", **arguments: Any) -> None:
        self.decoder = Decoder(**arguments)
        self.kill = kill
        self.fail = fail

    def __call__(self, table: pa.Table) -> pa.Table:
        ids = table.column("id").to_pylist()
        if self.kill in ids:
            os._exit(9)
        if self.fail in ids or self.fail == "*":
            raise RuntimeError("the device said no")
        return self.decoder(table)


def faulty_stages(
    job: JobConfig, allotment: Allotment, schema: pa.Schema, model: str, **faults: str
) -> Stages:
    """The job's real stages with the faulty decoder in place of the real one."""
    stages = make_stages(job, allotment, schema, model)
    _, arguments = stages.pools["decode"]
    pools = {**stages.pools, "decode": (FaultyDecoder, {**arguments, **faults})}
    return Stages(stages.load, stages.write, pools)
