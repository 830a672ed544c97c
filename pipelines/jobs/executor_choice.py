"""What runs the stages of a job: one worker process for a few rows, else Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.storage.addresses import LOCAL, local_path, scheme_of
from pipelines.config.job import JobConfig
from pipelines.config.settings import PoolConfig
from pipelines.executor.executor import Executor, executor_for
from pipelines.executor.process.beginning import Beginning

FEW_ROWS = 16
_FEW_BYTES = 32 << 20
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # of a job that was handed to a cluster


class Choice:
    """Chooses when the rows are known; a worker may have been started by then.

    Args:
        job: what is run.
        verbose: let workers print.
        given: an executor that the caller brings.
    """

    def __init__(self, job: JobConfig, verbose: bool, given: Executor | None = None) -> None:
        self.job, self.verbose, self._given = job, verbose, given
        self._begun: Beginning | None = None
        self._end: Callable[[], None] = lambda: None
        if given is None and may_be_small(job):
            self._begun = Beginning(verbose, job)
            self._end = self._begun.end

    def of(self, rows: int | None) -> Executor:
        """The executor of a job with so many rows; None stands for more than are known yet.

        Raises:
            UsageError: what Ray runs would put OUTPUT where it is removed.
        """
        if self._given is not None:
            return self._given
        is_small = rows is not None and rows <= FEW_ROWS
        takes_process = self._begun is not None and is_small
        if self.job.executor == "process" or takes_process:
            from pipelines.executor.process.process_executor import ProcessExecutor

            made = ProcessExecutor(self._begun, self.verbose)
            self._end = made.close
            return made
        self.close()
        return executor_for(self.job, self.verbose)

    def close(self) -> None:
        """End what was started here."""
        self._end()
        self._begun = None


@contextmanager
def choosing(
    job: JobConfig, verbose: bool = False, given: Executor | None = None
) -> Iterator[Choice]:
    """A `Choice` whose worker ends with it."""
    choice = Choice(job, verbose, given)
    try:
        yield choice
    finally:
        choice.close()


def may_be_small(job: JobConfig) -> bool:
    """Whether one process may serve a job, as far as a glance tells: Ray is not asked for and not
    running, and INPUT is no more than a few local files."""
    if job.executor == "process":
        return True
    if job.executor != "auto" or job.address is not None or _SUBMITTED in os.environ:
        return False
    if _ray_runs() or any(map(_is_sized, _pools(job))):
        return False
    if job.limit is not None and job.limit <= FEW_ROWS:
        return True
    return _is_few(job.input)


def _ray_runs() -> bool:
    """Whether this process has started Ray already; it is not imported to find out."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _pools(job: JobConfig) -> tuple[PoolConfig, ...]:
    return job.encode, job.generate, job.decode


def _is_sized(pool: PoolConfig) -> bool:
    """Whether actors of a pool are asked for, which only Ray has."""
    sizes = (pool.max_size, pool.num_cpus, pool.num_gpus)
    return pool.min_size > 1 or bool(pool.resources) or sizes != (None, None, None)


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
