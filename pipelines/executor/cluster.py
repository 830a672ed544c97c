"""Ray for this process: a private one started quietly, or a cluster that is joined."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError

from pipelines.causes import RAY_JOIN, RAY_START, reason, stopped
from pipelines.errors import RunFailed, UsageError
from pipelines.executor.network.held_output import hold_stderr
from pipelines.executor.network.listeners import (
    ANSWER_S,
    Listener,
    loopback_fault,
    who_listens,
)
from pipelines.executor.private_ray import newest_session, start_private_ray
from pipelines.executor.ray_internals import cluster_versions, counted_cpus, find_cluster
from pipelines.executor.ray_settings import log_level, quiet
from pipelines.executor.worker_path import DriversPath
from uniaudio2.shown import quoted, shown

_WORKER_IDLE_MS = 600_000
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_JOBS_FOLDER = "working_dir_files"  # of a Ray session, which a job starts below
_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:/@]+):(\d{1,5})")
_HEAD_S = 15.0
ADDRESS_VARIABLE = "RAY_ADDRESS"
_LISTENERS: dict[Listener, str] = {
    "web": "a web server does (8265 is the port of Ray's dashboard, which only `ray job` uses)",
    "redis": "a Redis server does",
    "silent": f"something listens there that says nothing within {ANSWER_S:.0f} s",
    "other": "something listens there that speaks neither Ray's protocol nor HTTP",
}


def is_submitted() -> bool:
    """Whether this process is the driver of a job that was handed to a cluster by
    ``ray job submit``."""
    return _SUBMITTED in os.environ


def check_stays(output: str) -> None:
    """Refuse a relative OUTPUT in a submitted job: it would lie in a folder that Ray removes.

    Raises:
        UsageError: says what to give.
    """
    is_relative = "://" not in output and not os.path.isabs(output)
    if is_relative and is_submitted() and _JOBS_FOLDER in Path.cwd().parts:
        raise UsageError(
            f"OUTPUT {quoted(output)} is relative, and this job runs in a folder that Ray removes "
            "when it has ended; give an absolute path that all nodes share, or a store such as "
            "s3://bucket/folder"
        )


def check_reachable(address: str) -> str:
    """Refuse the address of a cluster where none answers, or none that this process can join: Ray
    itself asks there for minutes.

    Args:
        address: as ``--address`` has it: ``HOST:PORT`` or ``auto``.

    Returns:
        ``HOST:PORT`` of the cluster.

    Raises:
        UsageError: it is no address of a cluster, or that of a job server, which takes jobs and
            lets nobody join.
        RunFailed: says what is there, and what to do.
    """
    origin = ""
    if address.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"--address {shown(address)} is a job server's: hand the run over with --detach, or "
            "join the cluster itself, HOST:6379"
        )
    if address == "auto":
        address, origin = _found_cluster()
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None:
        raise UsageError(
            f"--address {quoted(address)}{origin}: give HOST:PORT of the cluster's head, such as "
            "10.0.0.5:6379, or auto for the one that this machine is a node of; Ray's client "
            "(ray://) cannot run this: use `ray job submit`"
        )
    where = f"{shown(address)}{origin}"
    try:
        listener = _listener(found[1].strip("[]"), int(found[2]))
    except (OSError, OverflowError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise stopped(RAY_JOIN, f"no Ray cluster answers at {where}: {why}") from fault
    if listener != "grpc":
        raise _no_ray(where, _LISTENERS[listener])
    _check_versions(address, where)
    return address


def _found_cluster() -> tuple[str, str]:
    """The cluster that ``auto`` means, and where its address comes from, in words."""
    try:
        address = find_cluster()
    except ConnectionError as fault:
        raise stopped(
            RAY_JOIN,
            "--address auto found no cluster: RAY_ADDRESS is not set and none was started here",
            "start one on this machine (`ray start`), or give --address HOST:PORT of its head",
        ) from fault
    if os.environ.get(ADDRESS_VARIABLE):
        return os.environ[ADDRESS_VARIABLE], f" (from {ADDRESS_VARIABLE})"
    return address, " (the last one that was started on this machine)"


def _listener(host: str, port: int) -> Listener:
    """Who listens there; with TLS, which Ray's own settings turn on, nobody says so at first."""
    if os.environ.get("RAY_USE_TLS", "0") in ("0", ""):
        return who_listens(host, port)
    socket.create_connection((host, port), ANSWER_S).close()
    return "grpc"


def _no_ray(where: str, what: str) -> RunFailed:
    return stopped(
        RAY_JOIN,
        f"no Ray cluster answers at {where}, but {what}",
        "give the port of its head, 6379 where none was chosen",
    )


def _check_versions(address: str, where: str) -> None:
    """Refuse a cluster of other versions, or one that does not know our token."""
    asked = ThreadPoolExecutor(1, thread_name_prefix="ask-head")
    try:
        with hold_stderr():
            versions = asked.submit(cluster_versions, address).result(_HEAD_S)
    except AuthenticationError as fault:
        raise stopped(
            RAY_JOIN,
            f"the cluster at {where} wants a token that this process does not have",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, as on its nodes",
        ) from fault
    except (RayError, TimeoutError) as fault:
        raise _no_ray(where, "another server of gRPC does") from fault
    finally:
        asked.shutdown(wait=False)
    # Ray's own rule, which its own variable loosens
    digits = 2 if os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL") == "minor" else 3
    python = ".".join(map(str, sys.version_info[:digits]))
    for name, what, here in (("ray_version", "Ray", ray.__version__),
                             ("python_version", "Python", python)):  # fmt: skip
        there = (versions or {}).get(name, here)
        if not f"{there}.".startswith(f"{here}."):
            raise stopped(
                RAY_JOIN,
                f"the cluster at {where} runs {what} {shown(there)}, and this process {here}",
                f"use the same {what} on every node and here",
            )


def start_ray(address: str | None, verbose: bool = False) -> None:
    """Start Ray for this process, or join the cluster at `address`; a started Ray is used as is.

    Without an address a private Ray is started, see `private_ray`: `ray.init` alone would join any
    that runs on this machine.

    Args:
        address: of a cluster.
        verbose: let Ray and its workers print what they have to say.
    """
    if ray.is_initialized():
        return
    with quiet(verbose), log_level(verbose), nullcontext() if verbose else hold_stderr() as held:
        cause = RAY_START
        try:
            if address is None:
                _start_private(_options(verbose))
            else:
                cause = RAY_JOIN
                ray.init(address=check_reachable(address), **_options(verbose))
            return
        except (RunFailed, UsageError):
            raise
        except Exception as raised:  # of whatever class Ray has for it
            fault = raised
    log = held.keep(newest_session()) if held else ""
    told = f"{reason(fault)}{f' (what Ray said: {log})' if log else ''}"
    raise stopped(cause, told) from fault


def _options(verbose: bool) -> dict[str, Any]:
    level = logging.INFO if verbose else logging.WARNING
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    if not is_submitted():  # of a job that was submitted, Ray itself has settled it
        options["job_config"] = DriversPath()
    return options


def _start_private(options: dict[str, Any]) -> None:
    why = loopback_fault()
    if why:
        raise stopped(
            RAY_START,
            f"this machine cannot connect to itself at 127.0.0.1 ({why}), and Ray's processes "
            "must talk to each other",
            "turn its loopback interface on (`ip link set lo up`; a container needs a network "
            "namespace with one), or run with --executor inline",
        )
    if counted_cpus() < 1:  # Ray would count none, and nothing would ever run
        options["num_cpus"] = 1
    # a worker that waits for its next block for a second would be ended, and the next one would
    # spend seconds on imports
    start_private_ray(
        _system_config={"idle_worker_killing_time_threshold_ms": _WORKER_IDLE_MS}, **options
    )
