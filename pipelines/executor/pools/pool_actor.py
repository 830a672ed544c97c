"""The actors of pools, as Ray Data starts them."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from actors.stages.fault_boundary import FaultBoundary
from actors.stages.pools import MakeStage
from pipelines.executor.nodes.late import NodeCheck
from pipelines.executor.pools.build import build_stage
from pipelines.executor.pools.warm_claim import WarmAsk, WarmClaim

_DIED = 1


class PoolActor:
    """One actor of a pool: builds its stage once, then surrounds every call of it.

    On a node that does not fit it builds none, and hands units on as faults.

    Args:
        kind: makes the stage.
        arguments: of it.
        boundary: what surrounds calls.
        check: what its node is held against; None where there is but one.
    """

    def __init__(
        self,
        kind: MakeStage,
        arguments: dict[str, Any],
        boundary: FaultBoundary,
        check: NodeCheck | None,
    ) -> None:
        self.why_not = check.fault_here() if check else ""
        self.boundary = boundary
        if not self.why_not:
            self.stage = build_stage(boundary.name, kind, arguments)

    def __call__(self, table: pa.Table) -> pa.Table:
        if self.why_not:
            return self.boundary.refuse(table, self.why_not)
        return self.boundary.call(table, self.stage)


class WarmPoolActor:
    """One actor of a pool whose stage another actor keeps; where that one dies, so does this."""

    def __init__(
        self,
        kind: MakeStage,
        arguments: dict[str, Any],
        boundary: FaultBoundary,
        check: NodeCheck | None,
        ask: WarmAsk,
    ) -> None:
        self.boundary = boundary
        self.claim = WarmClaim(ask, kind, arguments, check)

    def __call__(self, table: pa.Table) -> pa.Table:
        if self.claim.why_not:
            return self.boundary.refuse(table, self.claim.why_not)
        try:
            answer: pa.Table = ray.get(self.claim.actor.call.remote(table, self.boundary))
        except RayActorError:
            os._exit(_DIED)  # the unit is missing then, as with any worker that dies
        return answer
