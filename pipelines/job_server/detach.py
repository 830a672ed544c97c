"""``run --detach``: the same command as a job of a cluster; this machine need not wait for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from actors.storage.object_store import Storage
from pipelines.config.job import JobConfig
from pipelines.config.own_addresses import check_no_secret
from pipelines.job_server.client import SubmittedJob, find_server, submit, wait_until_begun
from pipelines.job_server.command import check_places, entrypoint
from pipelines.run_state.lease import read_holder


@dataclass(frozen=True)
class Detached:
    """A run that goes on elsewhere.

    Attributes:
        job: that drives it.
        follow: command that shows it.
        stop: command that ends it.
    """

    job: SubmittedJob
    follow: str
    stop: str


def detach(
    job: JobConfig,
    arguments: Sequence[str],
    address: str | None,
    config: str | None,
    working_dir: str | None,
) -> Detached:
    """Submit a run, and wait until it is at work.

    Args:
        job: what is to be run.
        arguments: the words that were typed after ``uniaudio2``.
        address: of the cluster or of its job server, see `find_server`.
        config: the file of settings among them.
        working_dir: a folder to send along.

    Raises:
        UsageError: a place means something else where the job runs.
        RunFailed: there is no job server, it refuses the job, or the job ended badly at once.
    """
    check_no_secret("--address", address or "")
    check_places(job, config, working_dir)
    server = find_server(address)
    before = _driver(job.output)
    submitted = submit(entrypoint(arguments), server, working_dir)
    wait_until_begun(submitted, lambda: _driver(job.output) not in (None, before))
    return Detached(
        submitted,
        f"uniaudio2 status {shlex.quote(job.output)} --follow",
        f"ray job stop --address {shlex.quote(server)} {shlex.quote(submitted.job_id)}",
    )


def _driver(output: str) -> str | None:
    """Who holds OUTPUT, as far as this machine sees it."""
    try:
        holder = read_holder(Storage(output))
    except (OSError, ValueError):  # the nodes' disk or bucket, and none of ours
        return None
    return str(holder.get("driver")) if holder else None
