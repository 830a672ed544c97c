"""Ray's job server: where a cluster has it, and jobs that are handed to it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from pipelines.causes import RAY_JOIN, stopped
from pipelines.errors import RunFailed, UsageError
from pipelines.executor.cluster import check_reachable
from pipelines.executor.ray_internals import published_job_server
from pipelines.executor.ray_settings import quiet
from uniaudio2.shown import shown

REMEDY = (
    "install uniaudio2-batch[cluster] where its head runs, start the head again and let its "
    "dashboard be, which is the job server; runs that join with --address HOST:PORT go without"
)
_HTTP = ("http://", "https://")
_PORT = 8265
_CONNECTS_S = 10.0
_BEGINS_S = 30.0
_LOOK_EVERY_S = 0.5
# they would win over the address that was given
_RAYS_OWN = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_RAYS_LINES = ("Running entrypoint for job", "Runtime env is setting up")  # in a job's log
_NOT_FOUND = 127  # as shells have it
_ENDED_WELL = (0, 3)


@dataclass(frozen=True)
class SubmittedJob:
    """A job of a cluster.

    Attributes:
        job_id: Ray's name of it.
        server: address of its job server.
    """

    job_id: str
    server: str


def is_server_address(address: str | None) -> bool:
    """Whether an address is that of a job server, and not of a cluster that is joined."""
    return bool(address) and str(address).lower().startswith(_HTTP)


def find_server(address: str | None) -> str:
    """The address of a cluster's job server, which answers there.

    Args:
        address: of the job server, ``http://HOST:8265``; or of the cluster, ``HOST:PORT`` or
            ``auto``; None takes what Ray's own variables name, or the cluster of this machine.

    Raises:
        UsageError: it is the address of something else.
        RunFailed: no cluster answers, or it has no job server.
    """
    named = address or next(filter(None, map(os.environ.get, _RAYS_OWN)), "auto")
    if is_server_address(named):
        _check_listens(named.rstrip("/"), "")
        return named.rstrip("/")
    if "://" in named:
        raise UsageError(
            f"--address {shown(named)} takes no jobs; give the job server's, http://HOST:8265, or "
            "the cluster's, HOST:6379"
        )
    named = check_reachable(named)
    try:
        with quiet(), _rays_variables_hidden():
            server = published_job_server(named)
    except (ConnectionError, ValueError, RuntimeError, RayError) as fault:
        what = f"no Ray cluster answers at {shown(named)}: {_line(fault)}"
        raise stopped(RAY_JOIN, what) from fault
    if server is None:
        raise RunFailed(f"the cluster at {shown(named)} has no job server: {REMEDY}")
    _check_listens(server, f"the cluster at {shown(named)} has no job server: ")
    return server


def submit(command: str, server: str, working_dir: str | None = None) -> SubmittedJob:
    """Hand a command to a job server.

    Nothing of this process's environment goes along, and no folder that was not asked for: the job
    gets what the cluster's nodes have.

    Args:
        command: for a shell of the head.
        server: see `find_server`.
        working_dir: a folder to send along; the job starts in its copy.

    Raises:
        RunFailed: the server does not take it.
    """
    folder = {"working_dir": working_dir} if working_dir is not None else {}
    with _told(server):
        job_id = _client(server).submit_job(entrypoint=command, runtime_env=folder)
    return SubmittedJob(str(job_id), server)


def wait_until_begun(
    job: SubmittedJob, has_begun: Callable[[], bool], most_s: float = _BEGINS_S
) -> None:
    """Wait until a job is at work; what cannot be seen from here is believed after `most_s`.

    Raises:
        RunFailed: the job ended badly, with the last line of its log.
    """
    client = _client(job.server)
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        with _told(job.server):
            facts = client.get_job_info(job.job_id)
            if facts.status.is_terminal():
                _check_ended_well(job, facts, client)
                return
        if has_begun():
            return
        time.sleep(_LOOK_EVERY_S)


def check_answers(server: str) -> None:
    """See that what listens at an address is a job server.

    Raises:
        RunFailed: it does not answer as one.
    """
    with _told(server):
        _client(server).get_version()


def _check_ended_well(job: SubmittedJob, facts: Any, client: Any) -> None:
    if facts.driver_exit_code in _ENDED_WELL:
        return
    lines = client.get_job_logs(job.job_id).strip().splitlines()
    said = [line for line in lines if not any(ray in line for ray in _RAYS_LINES)]
    said = said or [str(facts.message)]
    hint = ""
    if facts.driver_exit_code == _NOT_FOUND:
        hint = "; start Ray on the nodes with the environment active in which uniaudio2 is"
    raise RunFailed(f"job {shown(job.job_id)} ended at once: {shown(said[-1])}{hint}")


def _client(server: str) -> Any:
    with _rays_variables_hidden():
        return JobSubmissionClient(server)


@contextmanager
def _told(server: str) -> Iterator[None]:
    """Say in one line what the job server or Ray's client raises, which may be of any class."""
    try:
        yield
    except RunFailed:
        raise
    except Exception as fault:
        raise RunFailed(f"the job server at {shown(server)}: {_line(fault)}") from fault


def _line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return shown(lines[0] if lines else type(fault).__name__)


def _check_listens(server: str, whose: str) -> None:
    place = urlsplit(server)
    try:
        host, port = place.hostname or "", place.port or _PORT
        socket.create_connection((host, port), _CONNECTS_S).close()
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise RunFailed(
            f"no job server answers at {shown(server)} ({shown(why)}): {whose}{REMEDY}"
        ) from fault


@contextmanager
def _rays_variables_hidden() -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in _RAYS_OWN if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
