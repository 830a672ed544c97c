"""Notices that the Ray of a run is gone, before Ray ends this process for it without a word.

Ray's core in the driver does so a minute after the head went away, and seconds after the raylet of
its own machine did (Ray 2.60). Nothing of that can be caught.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.causes import RAY_LOST, stopped
from pipelines.errors import TELLERS

_LOOK_EVERY_S = 0.2  # what Ray leaves the main thread to say why may be little
_CALL_EVERY_S = 1.0
_CONNECT_S = 3.0
LEAVES_S = 15.0  # the main thread, once it is interrupted
# Ray Data would tell a head of its use, at the end of a stream, and wait for one that is gone
_NO_LAST_CALLS = {"RAY_DATA_USAGE_DISABLED": "1"}
_SOCKETS = Path("/proc/net/unix")


class RayWatch:
    """Looks at a Ray's sockets from a thread; when they are gone, interrupts the main thread as
    SIGTERM does, with whatever handler it has. Where the main thread stays inside a call of Ray,
    which would end this process anyway, the watch says why and ends it.

    Args:
        head: ``HOST:PORT`` of the head's server.
        raylet: path of the socket of this machine's raylet.
        patience_s: how long the head may be away; a cluster may bring it back.
    """

    def __init__(self, head: str, raylet: str, patience_s: float) -> None:
        host, _, port = head.rpartition(":")
        self.lost = ""
        self._head, self._address = head, (host.strip("[]"), int(port))
        self._raylet, self._patience_s = raylet, patience_s
        self._seen = self._called = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-watch", daemon=True)

    def look(self, with_head: bool = True) -> str:
        """What is gone by now, in words; "" where all is there.

        Args:
            with_head: call the head, too.
        """
        if not _is_served(self._raylet):
            return "Ray's raylet on this machine ended"
        if not with_head:
            return ""
        self._called = time.monotonic()
        try:
            socket.create_connection(self._address, _CONNECT_S).close()
            self._seen = time.monotonic()
        except OSError as fault:
            away_s = time.monotonic() - self._seen
            if away_s > self._patience_s:
                why = fault.strerror or str(fault)
                return f"Ray's head at {self._head} has not answered for {away_s:.0f} s ({why})"
        return ""

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            is_due = time.monotonic() - self._called >= _CALL_EVERY_S
            self.lost = self.lost or self.look(with_head=is_due)
            if self.lost:
                break
        until = time.monotonic() + LEAVES_S
        while self.lost and not self._over.wait(_LOOK_EVERY_S):
            if time.monotonic() > until:
                TELLERS[-1](stopped(RAY_LOST, self.lost))
                os._exit(1)
            os.environ.update(_NO_LAST_CALLS)
            # again and again: an interrupt may meet code that swallows it
            if callable(signal.getsignal(signal.SIGTERM)):  # else it would end us
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while something runs in the main thread; elsewhere nothing can be interrupted.

        Raises:
            RunFailed: Ray is gone.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._thread.start()
        told = sys.unraisablehook
        sys.unraisablehook = lambda what: None if self.lost else told(what)
        try:
            yield
        except BaseException as fault:  # of any class: Ray's own, or the interrupt
            self._over.set()
            self.lost = self.lost or self.look()
            if self.lost:
                raise stopped(RAY_LOST, self.lost) from fault
            raise
        finally:
            self._over.set()
            self._thread.join()
            if not self.lost:  # else Ray's generators, which end later, would say that it is gone
                sys.unraisablehook = told


def _is_served(path: str) -> bool:
    """Whether a process listens at a Unix socket; where the kernel does not tell, one does."""
    try:
        return any(line.rstrip().endswith(path) for line in _SOCKETS.read_text().splitlines())
    except OSError:
        return True
