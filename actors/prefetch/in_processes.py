"""Reading by processes beside this one: where thousands of small files are read, one interpreter is
what all its threads wait for."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Memory = dict[Any, Any]
"""What a process keeps from one call to the next."""

MANY = 2048
_MOST = 8
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LOOK_S = 0.5
_END_S = 5.0
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from actors.prefetch.in_processes import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)


def usable_cpus(quota: Path = _QUOTA) -> int:
    """Whole CPUs that this process may use, those of a container's quota at most; at least 1.

    Args:
        quota: the file in which cgroups of version 2 say it.
    """
    cpus = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # "max" is none, and other systems have no such file
        spent_us, each_us = map(int, quota.read_text().split())
        cpus = min(cpus, max(spent_us // each_us, 1))
    return cpus


class _Reader:
    """One process, which searches modules where this one does."""

    def __init__(self) -> None:
        self.driver, theirs = Pipe()
        self.lock = threading.Lock()
        words = [json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        self.process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-c", _CODE, *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
        )  # fmt: skip
        theirs.close()

    def end(self) -> None:
        with suppress(OSError):
            self.driver.close()
        self.process.kill()
        self.process.wait(_END_S)


class Readers:
    """Processes that make calls for this one; they start with the first call.

    One that dies is not missed: its calls are made here.

    Args:
        count: how many; None takes one for each usable CPU, eight at most.
        many: things, from which on starting them pays.
    """

    def __init__(self, count: int | None = None, many: int = MANY) -> None:
        self._many = many
        self.count = count or min(usable_cpus(), _MOST)
        self._readers: list[_Reader | None] = []
        self._lock = threading.Lock()
        self._own: Memory = {}

    def are_worth(self, things: int) -> bool:
        """Whether so many things are read sooner by them than by threads."""
        return self.count > 1 and things >= self._many

    def call(
        self, number: int, function: Callable[Concatenate[Memory, P], R],
        *given: P.args, **named: P.kwargs,
    ) -> R:  # fmt: skip
        """What a function makes of arguments, called in a process; waits for it.

        Args:
            number: of the process; those with the same remainder by `count` are one.
            function: of a module; its first argument is what that process keeps.
            given: the other arguments, by pickle.
            named: more of them.

        Raises:
            Exception: what the function raised.
        """
        reader = self._reader(number % self.count)
        if reader is not None:
            asked = pickle.dumps((function, given, named), pickle.HIGHEST_PROTOCOL)
            try:
                with reader.lock:
                    reader.driver.send_bytes(asked)
                    is_well, answer = reader.driver.recv()
            except (EOFError, OSError):
                self._readers[number % self.count] = None
                reader.end()
            else:
                if not is_well:
                    raise answer
                made: R = answer
                return made
        return function(self._own, *given, **named)

    def _reader(self, number: int) -> _Reader | None:
        with self._lock:
            if not self._readers:
                self._readers = [_Reader() for _ in range(self.count)]
            return self._readers[number]

    def close(self) -> None:
        """End them."""
        with self._lock:
            there, self._readers = self._readers, [None] * self.count
        for reader in there:
            if reader is not None:
                reader.end()


def _end_with(driver: int) -> None:
    """End this process when its driver is gone, whatever it is at."""
    while os.getppid() == driver:
        time.sleep(_LOOK_S)
    os._exit(0)


def serve(descriptor: int, driver: int) -> None:
    """What such a process does.

    Args:
        descriptor: of the connection to the driver.
        driver: its process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    asked, memory = Connection(descriptor), Memory()
    while True:
        try:
            function, given, named = asked.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(memory, *given, **named)
        except Exception as fault:  # whatever it is, the driver has asked
            answer = False, fault
        with suppress(OSError):
            asked.send(answer)
