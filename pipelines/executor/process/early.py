"""Whether one process may serve a job, found at a glance, so that its worker starts before the
driver imports what it needs itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.executor.process.beginning import Beginning

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig
    from pipelines.config.settings import PoolConfig

FEW_ROWS = 16
_FEW_BYTES = 32 << 20
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # of a job that was handed to a cluster
_BEGUN: list[tuple[JobConfig, Beginning]] = []


@contextmanager
def begun_early(job: JobConfig, verbose: bool = False) -> Iterator[None]:
    """Start the worker of a job that may be small; `early_worker` hands it over within, and what
    nobody took ends."""
    if not may_be_small(job):
        yield
        return
    begun = Beginning(verbose, job)
    entry = (job, begun)
    _BEGUN.append(entry)
    try:
        yield
    finally:
        if entry in _BEGUN:
            _BEGUN.remove(entry)
            begun.end()


def early_worker(job: JobConfig, verbose: bool = False) -> Beginning | None:
    """The worker of a job: one that was begun for an equal job, or a new one where the job may be
    small; None where it cannot be."""
    for place, (known, begun) in enumerate(_BEGUN):
        if known == job:
            del _BEGUN[place]
            return begun
    return Beginning(verbose, job) if may_be_small(job) else None


def may_be_small(job: JobConfig) -> bool:
    """Whether one process may serve a job: Ray is not asked for and not running, and INPUT is no
    more than a few local files."""
    if job.executor == "process":
        return True
    if job.executor != "auto" or job.address is not None or _SUBMITTED in os.environ:
        return False
    if _ray_runs() or any(map(_is_sized, (job.encode, job.generate, job.decode, job.score))):
        return False
    if job.limit is not None and job.limit <= FEW_ROWS:
        return True
    return _is_few(job.input)


def _ray_runs() -> bool:
    """Whether this process has started Ray already; it is not imported to find out."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _is_sized(pool: PoolConfig) -> bool:
    """Whether actors of a pool are asked for, which only Ray has."""
    asked = {"min_size", "max_size", "num_cpus", "num_gpus", "resources"}
    return bool(pool.model_dump(include=asked, exclude_defaults=True))


def _is_few(uri: str) -> bool:
    if scheme_of(uri) not in LOCAL:
        return False
    path, held = local_path(uri), 0
    if os.path.isfile(path):
        return os.path.getsize(path) <= _FEW_BYTES
    try:
        with os.scandir(path) as entries:
            for count, entry in enumerate(entries, start=1):
                held += entry.stat().st_size
                if count > 2 * FEW_ROWS or held > _FEW_BYTES:
                    return False
    except OSError:
        return False
    return True
