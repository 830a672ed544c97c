"""Processes that create the same files at once, or are killed while they do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from actors.storage.object_store import ObjectExists, Storage

SIZE = 20_000


def in_process(act: Callable[[], None]) -> int:
    """Do something in a process of its own; returns its pid. It ends with 0, or 1 if it raised."""
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    except BaseException:
        os._exit(1)


def contents(writer: int) -> bytes:
    """What a writer writes: bytes that no other writes."""
    return bytes([writer]) * SIZE


def race(folder: Path, writers: int, names: int) -> list[list[int]]:
    """Let processes create the same files at the same time.

    Returns:
        who has created each file, by their own account; a reader saw no half file meanwhile.
    """
    storage, halves = Storage(str(folder)), list[str]()
    ready, begin = os.pipe()

    def write(writer: int) -> None:
        os.close(begin)
        os.read(ready, 1)  # until all are there
        for name in range(names):
            try:
                storage.create(f"_log/{name}", contents(writer))
            except ObjectExists:
                continue
            (folder / f"{name}.by{writer}").touch()

    pids = [in_process(lambda writer=writer: write(writer)) for writer in range(1, writers + 1)]  # type: ignore[misc]
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            for path in [path for path in storage.children("_log") if not path.endswith(".tmp")]:
                found = storage.read(path)
                if found not in map(contents, range(1, writers + 1)):
                    halves.append(path)

    reader = threading.Thread(target=read)
    reader.start()
    os.close(ready)
    os.close(begin)
    ended = [os.waitpid(pid, 0)[1] for pid in pids]
    over.set()
    reader.join()
    assert halves == []
    assert ended == [0] * writers
    winners = [
        [writer for writer in range(1, writers + 1) if (folder / f"{name}.by{writer}").exists()]
        for name in range(names)
    ]
    assert [storage.read(f"_log/{name}")[0] for name in range(names)] == [
        some[0] for some in winners if some
    ]
    return winners


def killed_at_every_line(folder: Path) -> int:
    """Kill a process at each line that it takes to write a file and name it, one after the other.

    Whatever it has done by then, the file is whole or not there; and another may be created.

    Returns:
        at how many lines.
    """
    storage = Storage(str(folder))
    for count in range(1, 200):
        path = f"_log/units/{count:08d}.json"

        def create(path: str = path, left: int = count) -> None:
            def trace(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal left
                code = frame.f_code
                if code.co_name != "put" and not code.co_filename.endswith("exclusive_names.py"):
                    return None
                left -= event == "line"
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return trace

            sys.settrace(trace)
            storage.create(path, contents(1))
            sys.settrace(None)

        ended = os.waitpid(in_process(create), 0)[1]
        if storage.exists(path):
            assert storage.read(path) == contents(1)
            if ended:
                storage.create(path, contents(1))  # as the next run says: mine
        else:
            storage.create(path, contents(2))
            assert storage.read(path) == contents(2)
        if not ended:
            return count - 1
    raise AssertionError("it never ends")
