"""Asking the cluster for what exists: actor pools, fitted or refused before a start."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pipelines.config.job import JobConfig
from pipelines.config.settings import PoolConfig, PoolName
from pipelines.errors import UsageError

POOLS: tuple[PoolName, ...] = ("encode", "generate", "decode", "score")
_READ_SHARE = 0.25
_LARGEST_ACTOR_CPUS = 4.0


@dataclass(frozen=True)
class Pool:
    """Size and resources of one actor pool."""

    name: PoolName
    min_size: int
    max_size: int
    num_cpus: float
    num_gpus: float
    resources: dict[str, float]

    @property
    def threads(self) -> int:
        """CPU threads of one actor; Ray's own processes keep the rest."""
        return max(1, math.floor(self.num_cpus))


@dataclass(frozen=True)
class Allocation:
    """Pools, the CPUs of a read or write task, and what to tell the user."""

    pools: tuple[Pool, ...]
    task_cpus: float
    notes: tuple[str, ...]


def _floor(value: float) -> float:
    return math.floor(value * 100) / 100


def _gpu_share(gpus: float, wanting: int) -> float:
    """GPUs of an actor that did not say: a whole one if every pool can have one."""
    if gpus <= 0 or not wanting:
        return 0.0
    return 1.0 if gpus >= wanting else _floor(gpus / wanting)


def _fitting(cpus: float, gpus: float, room: Mapping[str, float]) -> list[int]:
    """How many actors there is room for; empty where they need none."""
    asks = [(cpus, room.get("CPU", 0.0)), (gpus, room.get("GPU", 0.0))]
    fits = [math.floor(have / ask + 1e-6) for ask, have in asks if ask > 0]
    return [min(fits)] if fits else []


def _largest(cpus: float, nodes: Sequence[Mapping[str, float]], with_gpu: bool) -> float:
    """CPUs of the largest node that actors may be put on; all CPUs where nodes are not known."""
    hosts = [node for node in nodes if node.get("GPU", 0.0) > 0 or not with_gpu] or nodes
    return max((node.get("CPU", 0.0) for node in hosts), default=cpus)


def _size(
    name: PoolName,
    config: PoolConfig,
    cpus: float,
    gpus: float,
    room: Mapping[str, float],
    nodes: Sequence[Mapping[str, float]],
) -> Pool:
    ceiling = config.max_size
    if ceiling is None:
        fits = _fitting(cpus, gpus, room)
        if fits and nodes:
            fits.append(sum(sum(_fitting(cpus, gpus, node)) for node in nodes))
        ceiling = max([config.min_size, *([min(fits)] if fits else [])])
    return Pool(name, config.min_size, ceiling, cpus, gpus, dict(config.resources))


def fit_pools(
    job: JobConfig,
    cluster: Mapping[str, float],
    elastic: bool = False,
    idle: Collection[str] = (),
    nodes: Sequence[Mapping[str, float]] = (),
) -> Allocation:
    """Size the pools of a job's stages so that all of them can run at once.

    A pool that does not name its CPUs gets a fair share of what is left once a quarter is set
    aside for reading and writing: actors hold their CPUs for the whole run, and a run whose
    pools hold everything would never read its first row.

    Args:
        job: its pools may fix numbers or leave them open.
        cluster: total resources, ``{"CPU": 2.0, "GPU": 0.0}``.
        elastic: the cluster can grow; what does not fit yet is noted, not refused.
        idle: stages that no row of the manifest needs.
        nodes: resources of each node, where there are several: an actor fits on one of them, and a
            task beside it.

    Raises:
        UsageError: what was asked for cannot fit.
    """
    names = [name for name in POOLS if name in job.spec.stages and name not in idle]
    configs = {name: cast(PoolConfig, getattr(job, name)) for name in names}
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    gpu_share = _gpu_share(gpus, sum(c.min_size for c in configs.values() if c.num_gpus is None))
    largest = _largest(cpus, nodes, gpu_share > 0)
    task_cpus = job.load.num_cpus or min(1.0, _floor(largest * _READ_SHARE / 2))
    fixed = sum(c.min_size * c.num_cpus for c in configs.values() if c.num_cpus is not None)
    open_actors = sum(c.min_size for c in configs.values() if c.num_cpus is None)
    share = _floor((cpus * (1 - _READ_SHARE) - fixed) / open_actors) if open_actors else 0.0
    share = max(min(share, _LARGEST_ACTOR_CPUS, _floor(largest * (1 - _READ_SHARE))), 0.01)
    room = {"CPU": cpus - 2 * task_cpus, "GPU": gpus}
    pools = tuple(
        _size(
            name,
            config,
            share if config.num_cpus is None else config.num_cpus,
            gpu_share if config.num_gpus is None else config.num_gpus,
            room,
            nodes,
        )
        for name, config in configs.items()
    )
    notes = _check(pools, task_cpus, cluster, elastic)
    if open_actors and share < 1:
        notes.append(
            f"{cpus:g} CPUs for {len(names)} pools: each actor asks for {share:g} of a CPU"
        )
    return Allocation(pools, task_cpus, tuple(notes))


def _check(
    pools: tuple[Pool, ...], task_cpus: float, cluster: Mapping[str, float], elastic: bool
) -> list[str]:
    asked: dict[str, float] = {"CPU": task_cpus, "GPU": 0.0}
    for pool in pools:
        asked["CPU"] += pool.min_size * pool.num_cpus
        asked["GPU"] += pool.min_size * pool.num_gpus
        for name, amount in pool.resources.items():
            asked[name] = asked.get(name, 0.0) + pool.min_size * amount
    notes = []
    for name, amount in asked.items():
        have = cluster.get(name, 0.0)
        if amount <= have + 1e-6:
            continue
        parts = " + ".join(
            f"{pool.name} {pool.min_size}x{ask:g}"
            for pool in pools
            if (ask := _ask(pool, name)) > 0
        )
        reading = f" + {task_cpus:g} to read" if name == "CPU" else ""
        text = f"the pools need {amount:g} {name} ({parts}{reading}), the cluster has {have:g}"
        if not elastic:
            key = {"CPU": "num_cpus", "GPU": "num_gpus"}.get(name, f"resources.{name}")
            raise UsageError(f"{text}; lower min_size or {key} of a pool, or use --address")
        notes.append(f"{text}; waiting for it to grow")
    return notes


def _ask(pool: Pool, name: str) -> float:
    named = {"CPU": pool.num_cpus, "GPU": pool.num_gpus}
    return named.get(name, pool.resources.get(name, 0.0))
