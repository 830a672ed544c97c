"""Ray for this process: a private one started quietly, or a cluster that is joined."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray

from pipelines.errors import RunFailed, UsageError
from pipelines.executor.private_ray import start_private_ray
from pipelines.executor.ray_internals import counted_cpus
from pipelines.executor.ray_settings import log_level, quiet
from pipelines.executor.worker_path import DriversPath
from uniaudio2.shown import quoted, shown

_WORKER_IDLE_MS = 600_000
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_JOBS_FOLDER = "working_dir_files"  # of a Ray session, which a job starts below
_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:/@]+):(\d{1,5})")
_ANSWER_S = 10.0


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


def check_reachable(address: str) -> None:
    """Refuse the address of a cluster where nothing listens: Ray itself asks there for minutes.

    Raises:
        RunFailed: says which.
        UsageError: it is the address of a job server, which takes jobs and lets nobody join.
    """
    if address.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"--address {shown(address)} is a job server's: hand the run over with --detach, or "
            "join the cluster itself, HOST:6379"
        )
    found = _HOST_AND_PORT.fullmatch(address.removeprefix("ray://"))
    if found is None:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _ANSWER_S).close()
    except (OSError, OverflowError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise RunFailed(
            f"no Ray cluster answers at {shown(address)}: {why}; see that it "
            "runs (`ray status`) and that its port is open to this machine"
        ) from fault


@contextmanager
def _stderr_held() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and show it only if the block fails.

    Ray's C++ core writes its greetings there past every logger.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def start_ray(address: str | None, verbose: bool = False) -> None:
    """Start Ray for this process, or join the cluster at `address`; a started Ray is used as is.

    Without an address a private Ray is started, see `private_ray`: `ray.init` alone would join any
    that runs on this machine.

    Args:
        address: of a cluster.
        verbose: let Ray and its workers print what they have to say.
    """
    if not ray.is_initialized():
        with quiet(verbose), log_level(verbose), nullcontext() if verbose else _stderr_held():
            _init_ray(address, verbose)


def _init_ray(address: str | None, verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    if not is_submitted():  # of a job that was submitted, Ray itself has settled it
        options["job_config"] = DriversPath()
    if address is not None:
        check_reachable(address)
        ray.init(address=address, **options)  # a cluster keeps its own token
        return
    if counted_cpus() < 1:  # Ray would count none, and nothing would ever run
        options["num_cpus"] = 1
    # a worker that waits for its next block for a second would be ended, and the next one would
    # spend seconds on imports
    start_private_ray(
        _system_config={"idle_worker_killing_time_threshold_ms": _WORKER_IDLE_MS}, **options
    )
