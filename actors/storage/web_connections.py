"""Connections to web servers that know who is at their other end, and that end in time.

A name tells little of who answers, and a server may send a byte now and then for ever. So the
address of the other end is looked at when the connection is there and before anything is sent, and
another thread ends a request that takes too long.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from actors.storage.addresses import is_public
from uniaudio2.errors import BadRow


class RequestWatch(threading.local):
    """The socket of the calling thread's request, so that another thread can end it."""

    handle: socket.socket | None = None
    may_be_private: bool = True


WATCH = RequestWatch()


class _WatchedConnection:
    """A connection that knows who is at its other end, and can be ended by another thread."""

    sock: socket.socket | None

    def _new_conn(self) -> socket.socket:
        found = cast(socket.socket, super()._new_conn())  # type: ignore[misc] # of HTTPConnection
        peer, own = str(found.getpeername()[0]), str(found.getsockname()[0])
        if not WATCH.may_be_private and (not is_public(peer) or peer == own):
            found.close()
            raise BadRow(
                "forbidden_address",
                "the name leads to this machine or into a private network; `--set input.allow=` "
                "with the address allows it, if you trust the manifest",
            )
        _hold(found)
        return found

    def request(self, *given: Any, **more: Any) -> None:
        if self.sock is not None:  # it was kept from an earlier request
            _hold(self.sock)
        super().request(*given, **more)  # type: ignore[misc] # of HTTPConnection


def _hold(found: socket.socket) -> None:
    _release()
    WATCH.handle = socket.socket(fileno=os.dup(found.fileno()))


def _release() -> None:
    if WATCH.handle is not None:
        WATCH.handle.close()
    WATCH.handle = None


class _Http(_WatchedConnection, HTTPConnection): ...


class _Https(_WatchedConnection, HTTPSConnection): ...


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


@cache
def pool_manager(may_be_private: bool, process_id: int) -> urllib3.PoolManager:
    """Connections that are kept; those into private networks apart from the others."""
    del may_be_private, process_id  # parts of the cache's key
    manager = urllib3.PoolManager(num_pools=16, maxsize=8, retries=False)
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


@contextmanager
def ended_at(until: float) -> Iterator[None]:
    """End this thread's request at a moment: reading a byte now and then must not go on for ever.

    Raises:
        TimeoutError: the moment came.
    """
    expired = threading.Event()
    watch = WATCH.__dict__

    def end() -> None:
        expired.set()
        handle = watch.get("handle")
        if handle is not None:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(until - time.monotonic(), 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPError, ValueError) as fault:
        if expired.is_set():
            raise TimeoutError from fault
        raise
    finally:
        timer.cancel()
        _release()
    if expired.is_set():
        raise TimeoutError
