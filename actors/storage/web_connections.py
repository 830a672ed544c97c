"""Connections to web servers that know who is at their other end, end in time, and let them rest.

A name tells little of who answers, and a server may send a byte now and then for ever. So the
address of the other end is looked at when the connection is there and before anything is sent, and
another thread ends a request that takes too long. A server that limits how often it is asked is
left alone by all threads of the process for as long as it wants.
"""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from actors.storage.addresses import is_public
from uniaudio2.errors import BadRow

LONGEST_PAUSE_S = 600.0
_SPREAD_S = 1.0  # so that those who waited do not all ask in the same moment
_TOO_MANY = 429
_RESET = re.compile(r"(?:^|[;,\s])t=(\d{1,6})\b")


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


def pause_asked(status: int, headers: Mapping[str, str]) -> float:
    """Seconds that a server wants to be left alone; 0 where it does not say.

    Args:
        status: of its answer.
        headers: of its answer: ``Retry-After`` in seconds or as a date (RFC 9110, 10.2.3), or the
            seconds to the next window of ``RateLimit``, as the Hugging Face hub tells them.
    """
    wanted = headers.get("Retry-After", "").strip()
    if wanted.isdecimal():
        return float(wanted)
    with suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(wanted).timestamp()
        now = time.time()
        with suppress(ValueError, TypeError, OverflowError):  # its clock may differ from ours
            now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        return max(at - now, 0.0)
    found = _RESET.search(headers.get("RateLimit", "")) if status == _TOO_MANY else None
    return float(found[1]) if found else 0.0


def kind_of_status(status: int) -> str:
    """The kind of error of a row whose server does not give a file now."""
    return "too_many_requests" if status == _TOO_MANY else "unavailable"


@dataclass(frozen=True)
class _Pause:
    ends: float
    status: int


class ServerPauses:
    """Moments until which servers want to be left alone, for all threads of a process."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def begin(self, server: str, status: int, pause_s: float) -> None:
        """A server asks for a pause.

        Args:
            server: its name.
            status: of its answer.
            pause_s: from now on.
        """
        ends = time.monotonic() + pause_s
        known = self._pauses.get(server)
        if known is None or ends > known.ends:
            self._pauses[server] = _Pause(ends, status)

    def wait(self, server: str, until: float) -> None:
        """Wait for the end of a server's pause.

        A pause that is too long costs a row its time, not the next rows theirs: what lies behind
        them in the manifest may find the server willing. One longer than `LONGEST_PAUSE_S` costs
        no time.

        Raises:
            BadRow: `too_many_requests` or `unavailable`: it does not end in time.
        """
        while (pause := self._pauses.get(server)) is not None:
            now = time.monotonic()
            left_s = pause.ends - now
            if left_s <= 0:
                return
            if pause.ends >= until:
                if left_s <= LONGEST_PAUSE_S:
                    time.sleep(max(until - now, 0.0))
                kind = kind_of_status(pause.status)
                raise BadRow(
                    kind,
                    f"its server answers {pause.status} and wants {left_s:.0f} s of pause, longer "
                    f"than load.timeout_s leaves; raise that, or run `uniaudio2 retry OUTPUT "
                    f"--only {kind}` later",
                )
            spread_s = random.random() * min(_SPREAD_S, left_s / 4)  # noqa: S311 - jitter
            time.sleep(left_s + spread_s)


PAUSES = ServerPauses()
