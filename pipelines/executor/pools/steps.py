"""The steps of a stream, as Ray Data takes them: tasks that load and write, pools between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import ray.data

from actors.batch.table import Stage
from actors.stages.fault_boundary import FaultBoundary
from pipelines.executor.nodes.late import NodeCheck
from pipelines.executor.pools.pool_actor import PoolActor, WarmPoolActor
from pipelines.planning.pool_sizing import Pool

BLOCKS_WAITING = 1
# so that no slot waits for a tail of a unit, and no core or device for the next one to be laid out
CALLS_AT_ONCE = 2
TASK_RETRIES = 1
Placement = Callable[[], dict[str, Any]]  # asked anew for each task and actor


def _call(
    table: pa.Table, stage: Stage, boundary: FaultBoundary, check: NodeCheck | None
) -> pa.Table:
    why_not = check.fault_here() if check else ""
    return boundary.refuse(table, why_not) if why_not else boundary.call(table, stage)


def through_tasks(
    stream: ray.data.Dataset,
    stage: Stage,
    boundary: FaultBoundary,
    num_cpus: float,
    check: NodeCheck | None,
    place: Placement | None,
) -> ray.data.Dataset:
    """Have tasks call a stage, which travels to them.

    Args:
        stream: of units.
        stage: what is called.
        boundary: what surrounds calls.
        num_cpus: of a task.
        check: what nodes are held against.
        place: which nodes tasks are kept from.
    """
    return stream.map_batches(
        _call,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"stage": stage, "boundary": boundary, "check": check},
        num_cpus=num_cpus,
        max_retries=TASK_RETRIES,
        ray_remote_args_fn=place,
    )


def through_pool(
    stream: ray.data.Dataset,
    pool: Pool,
    given: dict[str, Any],
    alone: bool,
    place: Placement | None,
) -> ray.data.Dataset:
    """Have an actor pool call a stage, which each actor builds, or claims of an earlier run.

    Args:
        stream: of units.
        pool: its sizes.
        given: what an actor takes.
        alone: an actor has one unit at a time, and none waiting.
        place: which nodes actors are kept from.
    """
    calls = 1 if alone else CALLS_AT_ONCE
    is_warm = "ask" in given  # what it needs is held by the actor that keeps the stage
    # `map_batches` wants a batch size of who asks for GPUs, and would join and split units by it;
    # this is the same without that check, which Ray made for its own `map_groups`
    return stream.map_batches_internal(
        WarmPoolActor if is_warm else PoolActor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs=given,
        compute=ray.data.ActorPoolStrategy(
            min_size=pool.min_size,
            max_size=pool.min_size if is_warm else pool.max_size,
            max_tasks_in_flight_per_actor=1 if alone else calls + BLOCKS_WAITING,
            max_concurrent_calls_per_actor=calls,
            enable_true_multi_threading=calls > 1,
        ),
        num_cpus=0 if is_warm else pool.num_cpus,
        num_gpus=None if is_warm else pool.num_gpus or None,
        resources=None if is_warm else pool.resources or None,
        max_restarts=-1,  # an actor that died comes back,
        max_task_retries=0,  # but its unit is tried again by the driver, a counted number of times
        ray_remote_args_fn=place,
    )
