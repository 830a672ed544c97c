"""What stops a run from outside, as the errors that a user is told."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from actors.storage.file_systems import UnknownFileSystem
from actors.storage.object_store import is_storage_fault
from pipelines.causes import (
    INPUT,
    INTERRUPTED,
    STORAGE,
    is_of_machine,
    of_machine,
    reason,
    stopped,
)
from pipelines.errors import UsageError

_STORES = {
    "adlfs", "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "fsspec", "gcsfs",
    "httpcore", "httpx", "huggingface_hub", "requests", "s3fs", "socket", "ssl", "urllib3", "yarl",
}  # fmt: skip


def is_of_storage(fault: Exception) -> bool:
    """Tell whether a library of storage raised an error; it may be of any class."""
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__)]
    where = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    return where.partition(".")[0] in _STORES


def storage_line(fault: Exception) -> str:
    """What such an error is to a user."""
    return f"storage: {type(fault).__name__}: {fault}; check the address and the endpoint"


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM stops a run as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        old = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: the caller handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@contextmanager
def answered() -> Iterator[None]:
    """Turn what stops a run into the errors that a user is told."""
    try:
        with stoppable():
            yield
    except KeyboardInterrupt as stop:
        raise stopped(INTERRUPTED, "") from stop
    except UnknownFileSystem as fault:
        raise UsageError(str(fault)) from fault
    except (OSError, MemoryError) as fault:
        if is_storage_fault(fault):
            raise stopped(STORAGE, reason(fault)) from fault
        raise of_machine(fault) from fault
    except Exception as fault:
        if not is_of_storage(fault):
            raise
        raise stopped(STORAGE, reason(fault)) from fault


@contextmanager
def reading_input() -> Iterator[None]:
    """Surrounds what lists and reads INPUT before the first row."""
    try:
        yield
    except OSError as fault:
        if is_of_machine(fault):
            raise of_machine(fault) from fault
        raise stopped(INPUT, reason(fault)) from fault
    except Exception as fault:
        if not is_of_storage(fault):
            raise
        raise stopped(INPUT, reason(fault)) from fault
