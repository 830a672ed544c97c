"""What runs the stages of a job: one worker process for a few rows, else Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.executor.executor import Executor, executor_for
from pipelines.executor.process.beginning import Beginning
from pipelines.executor.process.early import FEW_ROWS, early_worker


class Choice:
    """Chooses when the rows are known; a worker may have been started by then.

    Args:
        job: what is run.
        verbose: let workers print.
        given: an executor that the caller brings.
    """

    def __init__(self, job: JobConfig, verbose: bool, given: Executor | None = None) -> None:
        check_warm(job)
        self.job, self.verbose, self._given = job, verbose, given
        self._begun: Beginning | None = None
        self._end: Callable[[], None] = lambda: None
        if given is None:
            self._begun = early_worker(job, verbose)
        if self._begun is not None:
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
        if self.job.executor == "processes":
            from pipelines.executor.process.processes_executor import (
                ProcessesExecutor,
                worker_count,
            )

            several = ProcessesExecutor(worker_count(self.job), self.verbose)
            self._end = several.close
            return several
        return executor_for(self.job, self.verbose)

    def close(self) -> None:
        """End what was started here."""
        self._end()
        self._begun = None


def check_warm(job: JobConfig) -> None:
    """Refuse to keep warm what ends with the run.

    Raises:
        UsageError: the run joins no cluster.
    """
    if job.keep_warm_s is None or job.address is not None:
        return
    from pipelines.executor.cluster import is_submitted

    if not is_submitted():
        raise UsageError(
            f"keep_warm_s {job.keep_warm_s:g} leaves workers on a cluster, and a Ray of this run "
            "ends with it: give --address of a started cluster, or leave it out"
        )


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
