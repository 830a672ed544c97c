"""Processes that the chaos command starts, finds again and ends; it never touches another.

A driver and everything below it share a session of their own, also after the driver is gone, and
are found by that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.jobs import ROOT, Job, Stand

_CLI = [sys.executable, "-c", "from pipelines.cli.commands import main; main()"]
_SLOWEST_LIFE_S = 1500.0
_SLOWEST_ANSWER_S = 180.0


@dataclass(frozen=True)
class Process:
    """A living process; the start time tells it from a later one with the same pid."""

    pid: int
    start: str
    words: str

    def kill(self) -> None:
        """SIGKILL it, if it is still the same one."""
        now = _look_at(self.pid)
        if now is not None and now[1].start == self.start:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _look_at(pid: int) -> tuple[int, Process] | None:
    """Session and facts of a process; None when it is gone or a zombie."""
    place = Path(f"/proc/{pid}")
    try:
        state, *numbers = (place / "stat").read_text().rpartition(")")[2].split()
        words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError):
        return None
    if state in "ZX":
        return None
    return int(numbers[2]), Process(pid, numbers[18], words.strip())


def session_processes(session: int) -> list[Process]:
    """The living processes of a session."""
    looks = (_look_at(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit())
    return [look[1] for look in looks if look is not None and look[0] == session]


def kill_session(leader: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a session with its leader, which must not have been waited for: its pid is then ours."""
    for process in session_processes(leader.pid):
        process.kill()
    leader.wait()


class Driver:
    """The real command as a process in a session of its own."""

    def __init__(
        self, stand: Stand, job: Job, output: str, address: str | None, *options: str
    ) -> None:
        self.log = stand.scratch / "driver.log"
        command = [*_CLI, *job.arguments(output), *options]
        command += ["--address", address] if address else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **stand.environment()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self._seen: set[Process] = set()

    @property
    def running(self) -> bool:
        """Whether it is alive.

        Raises:
            TimeoutError: it has been for too long.
        """
        if time.monotonic() - self.started > _SLOWEST_LIFE_S:
            raise TimeoutError(f"a run did not end within {_SLOWEST_LIFE_S:g} s: {self.words()}")
        return self.process.poll() is None

    def processes(self) -> list[Process]:
        """It and all that it started."""
        found = session_processes(self.process.pid)
        self._seen.update(found)
        return found

    def kill(self) -> bool:
        """SIGKILL it alone; returns whether that is what ended it."""
        self.processes()
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL

    def end(self) -> None:
        """End it and what was seen of its processes; those it left behind end by themselves."""
        if self.process.poll() is None:
            kill_session(self.process)
        for process in self._seen:
            process.kill()

    def words(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace").strip()[-600:]


class Cluster:
    """The nodes of `tests.chaos.nodes`, and the one order they know."""

    def __init__(self, stand: Stand) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nodes"],
            cwd=ROOT,
            env={**os.environ, **stand.environment(), "RAY_BACKEND_LOG_LEVEL": "fatal"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.address = self._hear(":")

    def _hear(self, wanted: str) -> str:
        assert self.process.stdout is not None
        watchdog = threading.Timer(_SLOWEST_ANSWER_S, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                if wanted in line:
                    return line.strip()
        finally:
            watchdog.cancel()
        raise RuntimeError("the cluster's process ended or did not answer")

    def lose(self, which: int) -> None:
        """Kill a worker node, and put a fresh one in its place."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"lose {which}\n")
        self.process.stdin.flush()
        self._hear("lost")
        self._hear("added")

    def end(self) -> None:
        """End all nodes."""
        kill_session(self.process)
