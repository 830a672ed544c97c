"""A Ray that goes away: the main thread is interrupted, or the process ends with the line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import RunFailed
from pipelines.executor.network.ray_watch import RayWatch
from pipelines.jobs.signals import stoppable

STUCK = """
import signal, sys, time
from pipelines.executor.network import ray_watch
ray_watch.LEAVES_S = 0.5
signal.signal(signal.SIGTERM, lambda *_: None)  # as inside a call of Ray, nothing comes of it
with ray_watch.RayWatch("127.0.0.1:1", sys.argv[1], 60.0).watching():
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Python would tell of faults that nobody can catch."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    return told


def test_what_a_lost_ray_leaves_behind_is_not_told(
    tmp_path: Path, unraisable: list[object]
) -> None:
    """Generators of Ray Data that end later than it."""

    def left() -> Iterator[None]:
        try:
            yield
        finally:
            raise KeyboardInterrupt

    waiting: Iterator[None] | None = left()
    with pytest.raises(RunFailed), RayWatch("127.0.0.1:1", str(tmp_path), 60.0).watching():
        assert waiting is not None
        next(waiting)
        raise OSError
    waiting = None
    assert not unraisable


def test_a_raylet_that_ends_interrupts_what_waits(tmp_path: Path) -> None:
    path, before = str(tmp_path / "raylet"), signal.getsignal(signal.SIGTERM)
    raylet = socket.socket(socket.AF_UNIX)
    with socket.create_server(("127.0.0.1", 0)) as head:
        raylet.bind(path)
        raylet.listen()
        watch = RayWatch(f"127.0.0.1:{head.getsockname()[1]}", path, 60.0)
        assert watch.look() == ""
        told = r"^Ray's connection: Ray's raylet on this machine ended; .*goes on where it was$"
        with pytest.raises(RunFailed, match=told), watch.watching(), stoppable():
            raylet.close()
            time.sleep(60)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_head_may_be_away_for_a_while(tmp_path: Path) -> None:
    path = str(tmp_path / "raylet")
    with socket.socket(socket.AF_UNIX) as raylet, socket.socket() as taken:
        raylet.bind(path)
        raylet.listen()
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        head = f"127.0.0.1:{taken.getsockname()[1]}"
        assert RayWatch(head, path, 60.0).look() == ""
        assert f"Ray's head at {head} has not answered for 0 s" in RayWatch(head, path, -1.0).look()


def test_what_stays_inside_ray_is_ended_with_the_line(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path / "gone")], capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("stopped: Ray's connection: Ray's raylet on this machine ended; ")
    assert len(ran.stderr.splitlines()) == 1
