"""Ray for this process: a private one started quietly, or a cluster that is joined."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray

from pipelines.executor.private_ray import start_private_ray
from pipelines.executor.ray_settings import log_level, quiet
from pipelines.executor.worker_path import DriversPath

_WORKER_IDLE_MS = 600_000
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"


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
    if _SUBMITTED not in os.environ:  # of a job that was submitted, Ray itself has settled it
        options["job_config"] = DriversPath()
    if address is not None:
        ray.init(address=address, **options)  # a cluster keeps its own token
        return
    # a worker that waits for its next block for a second would be ended, and the next one would
    # spend seconds on imports
    start_private_ray(
        _system_config={"idle_worker_killing_time_threshold_ms": _WORKER_IDLE_MS}, **options
    )
