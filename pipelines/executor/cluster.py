"""Ray for this process: a private one started quietly, or a cluster that is joined."""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.storage.addresses import LOCAL, local_path, scheme_of
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
_JOINS_S = 20.0
_PROBE_S = 60.0  # a worker's start on a busy node included


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


def probe_nodes(output: str, needed: Sequence[str]) -> None:
    """Refuse a local OUTPUT or INPUT that some node does not share with this process.

    Nodes that share no disk would read nothing of INPUT, and would write the parts of OUTPUT where
    nobody looks for them.

    Args:
        output: OUTPUT of the run, which is there.
        needed: files and folders that are read where stages run.

    Raises:
        UsageError: names the node, the place and what to do.
        RunFailed: a node does not answer.
    """
    paths = [path for place in needed if scheme_of(place) in LOCAL for path in _looked_at(place)]
    log = os.path.join(local_path(output), "_log") if scheme_of(output) in LOCAL else ""
    if not paths and not log:
        return
    sizes = {path: _size(path) for path in paths}
    nodes = _working_nodes()
    # named as what a driver leaves there that dies: the next run removes it
    names = [os.path.join(log, f"fence-{uuid.uuid4().hex}") if log else "" for _ in (None, *nodes)]
    asked, *answers = names
    try:
        if asked:
            Path(asked).write_text(asked)
        found = [
            _asked_to_look(node["NodeID"], asked, answer, paths)
            for node, answer in zip(nodes, answers, strict=True)
        ]
        ray.wait(found, num_returns=len(found), timeout=_PROBE_S)
        for node, answer, reference in zip(nodes, answers, found, strict=True):
            host, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
            _judge(f"{shown(host)} ({shown(address)})", output, answer, reference, sizes)
    finally:
        for name in filter(None, names):
            Path(name).unlink(missing_ok=True)


def _working_nodes() -> list[dict[str, Any]]:
    """Nodes that give CPUs; where there is none yet, it may be about to join."""
    until = time.monotonic() + _JOINS_S
    while True:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        if nodes or time.monotonic() > until:
            return nodes
        time.sleep(0.5)


def _looked_at(place: str) -> list[str]:
    """A path and, of a folder, one thing in it: an empty folder of that name is another."""
    path = local_path(place)
    if not os.path.isdir(path):
        return [path]
    with os.scandir(path) as entries:
        return [path, *(entry.path for entry in itertools.islice(entries, 1))]


def _asked_to_look(node: str, asked: str, answer: str, paths: list[str]) -> Any:
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    look = ray.remote(num_cpus=0, max_retries=0)(look_here)
    return look.options(scheduling_strategy=strategy).remote(asked, answer, paths)


def _judge(
    where: str, output: str, answer: str, reference: Any, sizes: dict[str, int | None]
) -> None:
    """Refuse what a node does not see."""
    try:
        problem, seen = ray.get(reference, timeout=0)
    except GetTimeoutError as fault:
        raise RunFailed(
            f"node {where} did not answer within {_PROBE_S:.0f} s; see whether it is well, or "
            "take it out of the cluster"
        ) from fault
    if problem or (answer and not os.path.exists(answer)):
        raise UsageError(
            f"OUTPUT {quoted(output)} is another folder on node {where} than here, or none "
            f"({problem or 'what is written there does not arrive here'}): results would be lost; "
            "give a folder that all nodes share, or a store such as s3://bucket/folder"
        )
    for path, size in sizes.items():
        if seen[path] != size:
            raise UsageError(
                f"INPUT {quoted(path)} is not on node {where} as it is here; put it where all "
                "nodes find it under this path, or into a store such as s3://bucket/folder"
            )


def look_here(asked: str, answer: str, paths: Sequence[str]) -> tuple[str, dict[str, int | None]]:
    """Look at files from where this runs.

    Args:
        asked: a file that the driver wrote; "" for none.
        answer: a file to write beside it.
        paths: files and folders to look at.

    Returns:
        what is wrong with the first two, in words, and the size of each of the others; None for one
        that is not there, 0 for a folder.
    """
    problem = ""
    if asked:
        try:
            if Path(asked).read_text() != asked:
                problem = "a file of that name holds something else there"
            else:
                Path(answer).write_text(asked)
        except FileNotFoundError:
            problem = "what this machine wrote is not there"
        except OSError as fault:
            problem = fault.strerror or type(fault).__name__
    return problem, {path: _size(path) for path in paths}


def _size(path: str) -> int | None:
    """Bytes of a file, 0 for a folder, None where nothing is."""
    try:
        return 0 if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return None
