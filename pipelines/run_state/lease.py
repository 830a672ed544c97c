"""One driver an OUTPUT: a lease object with a heartbeat.

The lease keeps two honest drivers apart and names the other one. What keeps a dishonest one (a
zombie that wakes after its lease was taken) from harm is the commit log: commits are created only
if absent. `Lease.fenced` tells whether storage can do so.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import ObjectExists, Storage
from pipelines.causes import OTHER_RUN, stopped
from pipelines.errors import UsageError
from pipelines.run_state.commit_log import DRIVER

PATH = DRIVER
HEARTBEAT_S = 5.0
EXPIRY_S = 20.0
_MOST_BYTES = 1 << 16
_HELD: set[str] = set()


def _process_start(pid: int) -> str:
    """Kernel start time of a process; "" when it is gone. Tells a reused pid from the old one.

    A killed process that its parent has not yet waited for is gone, too.
    """
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if facts[0] in ("Z", "X") else facts[19]


def _machine() -> str:
    """Identity of this boot and pid namespace: only there does a pid mean anything."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def read_holder(storage: Storage) -> dict[str, Any] | None:
    """What the lease of an OUTPUT says of the driver at work there; None where there is none.

    Any file may lie there: of its values nothing is known.
    """
    try:
        facts = json.loads(storage.read(PATH, _MOST_BYTES))
    except ForeignPath:
        raise
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def is_dead(holder: dict[str, Any]) -> bool:
    """Whether a driver is known to be gone: only of one of this machine can that be told."""
    if holder.get("machine") != _machine():
        return False
    pid = holder.get("pid")
    if not isinstance(pid, int):
        return False
    start = _process_start(pid)
    if start == "" or start != holder.get("process_start"):
        return True
    # of this process, but its lease could not be given back: storage was away
    return pid == os.getpid() and holder.get("driver") not in _HELD


class Lease:
    """Hold OUTPUT for this process: `acquire`, then use as a context manager."""

    def __init__(
        self, storage: Storage, heartbeat_s: float = HEARTBEAT_S, expiry_s: float = EXPIRY_S
    ) -> None:
        self.storage = storage
        self.heartbeat_s = heartbeat_s
        self.expiry_s = expiry_s
        self.driver = uuid.uuid4().hex
        self.waited = False
        self.fenced = True
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _mine(self) -> bytes:
        return json.dumps(
            {
                "driver": self.driver,
                "host": socket.gethostname(),
                "machine": _machine(),
                "pid": os.getpid(),
                "process_start": _process_start(os.getpid()),
                "beat": time.time(),
            }
        ).encode()

    def acquire(self) -> Lease:
        """Take the lease and begin to renew it.

        Raises:
            UsageError: another driver is at work there.
            OSError: OUTPUT cannot be written.
        """
        self.fenced = self.storage.has_conditional_writes(f"_log/fence-{self.driver}")
        try:
            self.storage.create(PATH, self._mine())
        except ObjectExists:
            self._take_over()
        _HELD.add(self.driver)
        self._thread.start()
        return self

    def __enter__(self) -> Lease:
        return self

    def _take_over(self) -> None:
        """Replace the lease of a driver that is dead or silent.

        Silence is judged by this clock alone: the beat must not change for `expiry_s`.
        """
        first = read_holder(self.storage)
        if first is not None and not is_dead(first):
            self.waited = True
            deadline = time.monotonic() + self.expiry_s
            while time.monotonic() < deadline:
                time.sleep(min(1.0, self.expiry_s / 10))
                holder = read_holder(self.storage)
                if holder is None:
                    break
                if repr(holder.get("beat")) != repr(first.get("beat")):  # NaN is not itself
                    raise UsageError(
                        f"{self.storage.root} is being written by process {holder.get('pid')} on "
                        f"{holder.get('host')}; wait for it to end or choose another OUTPUT"
                    )
        self.storage.put(PATH, self._mine())
        time.sleep(min(0.2, self.heartbeat_s))
        holder = read_holder(self.storage)
        if holder is None or holder.get("driver") != self.driver:
            raise UsageError(
                f"another run has just taken {self.storage.root}; choose another OUTPUT"
            )

    def _beat(self) -> None:
        while not self._stop.wait(self.heartbeat_s):
            try:
                holder = read_holder(self.storage)
                if holder is None or holder.get("driver") != self.driver:
                    self._lost.set()
                    return
                self.storage.put(PATH, self._mine())
            except OSError:
                continue  # storage is away; the commit log still fences every commit

    def check(self) -> None:
        """Raise `RunFailed` if another driver has taken the lease."""
        if self._lost.is_set():
            raise stopped(OTHER_RUN, f"it took over {self.storage.root}")

    def __exit__(self, *_: object) -> None:
        _HELD.discard(self.driver)
        self._stop.set()
        self._thread.join(timeout=2 * self.heartbeat_s)
        if not self._lost.is_set():
            try:
                self.storage.delete(PATH)
            except OSError:
                return  # a lease that stays expires by itself
