"""Bulk runs from storage to storage: `run_job` and its `JobConfig`."""

from typing import TYPE_CHECKING

from pipelines.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig
    from pipelines.jobs.result import RunResult
    from pipelines.jobs.run import run_job

__all__ = ["JobConfig", "RunFailed", "RunResult", "UsageError", "run_job"]


def __getattr__(name: str) -> object:
    """Import Ray and torch when a job is made, not when the command line prints its help."""
    if name == "JobConfig":
        from pipelines.config.job import JobConfig

        return JobConfig
    if name in ("RunResult", "run_job"):
        from pipelines.jobs import run

        return getattr(run, name)
    raise AttributeError(f"module 'pipelines' has no attribute {name!r}")
