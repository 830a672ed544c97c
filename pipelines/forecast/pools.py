"""What would run a job, the sizes that balance its pools, and how long all rows then take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.config.job import JobConfig
from pipelines.executor.executor import Executor
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.process.early import FEW_ROWS, may_be_small
from pipelines.executor.process.processes_executor import ProcessesExecutor, worker_count
from pipelines.executor.stage_monitor import TASK_STAGES
from pipelines.planning.pool_sizing import Allocation, Pool, fit_pools

Kind = Literal["inline", "process", "processes", "ray"]


@dataclass(frozen=True)
class Setup:
    """What runs a job.

    Attributes:
        kind: of executor.
        workers: processes that each do whole units; 1 where stages are pools.
        resources: such as ``{"CPU": 8.0, "GPU": 1.0}``.
        allocation: sizes of the pools as a run begins.
    """

    kind: Kind
    workers: int
    resources: Mapping[str, float]
    allocation: Allocation

    @property
    def has_pools(self) -> bool:
        """Whether stages work side by side, each in workers of its own."""
        return self.kind == "ray"

    @property
    def task_workers(self) -> float:
        """Reads and writes that there is room for at once, beside the pools."""
        held = sum(pool.min_size * pool.num_cpus for pool in self.allocation.pools)
        free = self.resources.get("CPU", 0.0) - held
        return max(free / max(self.allocation.task_cpus, 0.01), 1.0)


def setup_of(
    job: JobConfig,
    rows: int,
    idle: tuple[str, ...],
    cpus: float | None = None,
    gpus: float | None = None,
) -> Setup:
    """What `run_job` would take for so many rows.

    Args:
        job: its `executor` and pools decide.
        rows: of the manifest.
        idle: stages that no row needs.
        cpus: of the cluster that is asked about; None asks about this machine.
        gpus: likewise.

    Raises:
        UsageError: the pools do not fit.
    """
    here = InlineExecutor()
    there = dict(here.resources())
    if cpus is not None or gpus is not None:
        there = {"CPU": cpus or there["CPU"], "GPU": gpus or 0.0}
        return Setup("ray", 1, there, fit_pools(job, there, idle=idle))
    is_small = job.executor == "auto" and rows <= FEW_ROWS and may_be_small(job)
    if job.executor == "processes":
        count = worker_count(job)
        return Setup("processes", count, there, ProcessesExecutor(count).allocate(job, idle))
    if job.executor in ("inline", "process") or is_small:
        kind: Kind = "inline" if job.executor == "inline" else "process"
        return Setup(kind, 1, there, here.allocate(job, idle))
    return Setup("ray", 1, there, fit_pools(job, there, idle=idle))


def executor_of(setup: Setup) -> Executor:
    """What runs a probe as the setup would: processes side by side, all others in this one."""
    return ProcessesExecutor(setup.workers) if setup.kind == "processes" else InlineExecutor()


def balanced(setup: Setup, busy_s: Mapping[str, float]) -> Setup:
    """Pools that grow while there is room, each time the one that would be done last.

    Args:
        setup: whose pools begin with their least sizes.
        busy_s: seconds of work of each stage over all rows.
    """
    pools = {pool.name: pool for pool in setup.allocation.pools}
    grown = setup
    while pools:
        name = max(pools, key=lambda name: busy_s.get(name, 0.0) / pools[name].min_size)
        pool = pools[name]
        larger = {**pools, name: replace(pool, min_size=pool.min_size + 1)}
        if larger[name].min_size > pool.max_size or not _fits(larger.values(), setup):
            break
        pools = larger
        grown = replace(setup, allocation=replace(setup.allocation, pools=(*pools.values(),)))
    return grown


def _fits(pools: Iterable[Pool], setup: Setup) -> bool:
    """Whether pools leave two reads their CPUs."""
    asked: dict[str, float] = {"CPU": 2 * setup.allocation.task_cpus}
    for pool in pools:
        needs = {"CPU": pool.num_cpus, "GPU": pool.num_gpus, **pool.resources}
        for name, amount in needs.items():
            asked[name] = asked.get(name, 0.0) + pool.min_size * amount
    return all(
        amount <= setup.resources.get(name, 0.0) + 1e-6 for name, amount in asked.items() if amount
    )


def stage_spans(setup: Setup, busy_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds that each stage works when it never waits: its work over its workers."""
    if not setup.has_pools:
        return {name: seconds / setup.workers for name, seconds in busy_s.items()}
    sizes: dict[str, float] = {pool.name: pool.min_size for pool in setup.allocation.pools}
    tasks = sum(busy_s.get(name, 0.0) for name in TASK_STAGES) or 1.0
    for name in TASK_STAGES:  # which share what room there is
        sizes[name] = setup.task_workers * max(busy_s.get(name, 0.0) / tasks, 1e-9)
    return {name: seconds / sizes[name] for name, seconds in busy_s.items()}


def steady_wall_s(setup: Setup, busy_s: Mapping[str, float], units: float) -> float:
    """Seconds from the first unit's first call to the last one's end.

    Without pools a unit's stages follow one another, and `workers` do so side by side: all work
    over the workers, and half a unit that the others wait for the last one. With pools it is the
    slowest stage, and one unit's way through the others; where pools share processors, no less
    than the work of all over these.
    """
    spans = stage_spans(setup, busy_s)
    unit_s = sum(busy_s.values()) / max(units, 1.0)
    if not setup.has_pools:
        return sum(spans.values()) + unit_s * (1 - 1 / setup.workers) / 2
    slowest = max(spans.values(), default=0.0)
    fill_s = max(unit_s - slowest / max(units, 1.0), 0.0)
    return max(slowest, _processors_s(setup, busy_s)) + fill_s


def _processors_s(setup: Setup, busy_s: Mapping[str, float]) -> float:
    """Seconds of all stages' work over the processors of the machine, of stages without a GPU."""
    pools: dict[str, Pool] = {pool.name: pool for pool in setup.allocation.pools}
    held_s = 0.0
    for name, seconds in busy_s.items():
        pool = pools.get(name)
        if pool is None:
            held_s += seconds
        elif not pool.num_gpus:
            held_s += seconds * max(pool.num_cpus, 1.0)  # a call has a thread at least
    return held_s / max(setup.resources.get("CPU", float(os.cpu_count() or 1)), 1.0)


def proposals(begun: Setup, grown: Setup) -> list[str]:
    """``--set`` words for the pools whose balanced size is not the one that they begin with."""
    before = {pool.name: pool.min_size for pool in begun.allocation.pools}
    return [
        f"--set {pool.name}.min_size={pool.min_size}"
        for pool in grown.allocation.pools
        if pool.min_size != before[pool.name]
    ]
