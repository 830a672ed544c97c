"""What stops a run from outside, as the errors that a user is told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from actors.storage import UnknownFileSystem
from pipelines.errors import RunFailed, UsageError


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
        raise RunFailed("interrupted; the same command goes on where it was") from stop
    except UnknownFileSystem as fault:
        raise UsageError(str(fault)) from fault
    except OSError as fault:
        raise RunFailed(f"storage: {fault}; the same command goes on where it was") from fault
