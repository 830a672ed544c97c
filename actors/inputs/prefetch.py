"""The next items of an iterator, made by another thread while this one works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

_T = TypeVar("_T")
_POLL_S = 0.1


@contextmanager
def prefetched(items: Iterable[_T], depth: int = 2) -> Iterator[Iterator[_T]]:
    """Iterate with up to `depth` items made in advance.

    Whatever making them raises is raised where the item is asked for. No item is made after the
    block has ended.
    """
    made: queue.Queue[tuple[bool, _T | BaseException | None]] = queue.Queue(depth)
    ended = threading.Event()

    def put(is_item: bool, value: _T | BaseException | None) -> bool:
        while not ended.is_set():
            try:
                made.put((is_item, value), timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(True, item):
                    return
            put(False, None)
        except BaseException as fault:
            put(False, fault)

    def take() -> Iterator[_T]:
        while True:
            is_item, value = made.get()
            if is_item:
                yield cast(_T, value)
            elif isinstance(value, BaseException):
                raise value
            else:
                return

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        ended.set()
        thread.join()
