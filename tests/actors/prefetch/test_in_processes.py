"""Processes that read for this one: what they keep, raise and leave when they die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actors.prefetch.in_processes import MANY, Readers, usable_cpus


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """Two processes that can import this module, as they search where this process does."""
    with closing(Readers(2)) as made:
        yield made


def _counted(memory: dict[str, Any], word: str) -> tuple[int, int]:
    memory[word] = memory.get(word, 0) + 1
    return os.getpid(), memory[word]


def _raises(memory: dict[str, Any], word: str) -> None:
    raise ValueError(f"{word} {len(memory)}")


def _dies_elsewhere(memory: dict[str, Any], driver: int) -> int:
    del memory
    if os.getpid() != driver:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_calls_with_the_same_number_are_made_by_one_process_that_remembers(
    readers: Readers,
) -> None:
    first, other = readers.call(0, _counted, "a"), readers.call(1, _counted, "a")
    again = readers.call(2, _counted, "a")
    assert again == (first[0], 2)
    assert other[1] == 1
    assert len({os.getpid(), first[0], other[0]}) == 3


def test_what_a_call_raises_is_raised_here(readers: Readers) -> None:
    with pytest.raises(ValueError, match=r"^broken "):
        readers.call(1, _raises, "broken")
    assert readers.call(1, _counted, "b")[1] == 1


def test_calls_of_a_process_that_dies_are_made_here() -> None:
    with closing(Readers(2)) as readers:
        assert readers.call(0, _dies_elsewhere, os.getpid()) == os.getpid()
        assert readers.call(0, _counted, "c") == (os.getpid(), 1)
        assert readers.call(1, _counted, "c")[0] != os.getpid()


def test_they_end_when_they_are_closed() -> None:
    readers = Readers(2)
    process = readers.call(0, _counted, "d")[0]
    readers.close()
    assert not Path("/proc", str(process)).exists()
    assert readers.call(0, _counted, "d") == (os.getpid(), 1)  # late calls are not lost


def test_they_end_with_the_process_that_they_read_for() -> None:
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        process, _ = Readers(2).call(0, _counted, "e")
        os.write(there, str(process).encode())
        os._exit(0)
    os.waitpid(child, 0)
    process = int(os.read(here, 20))
    deadline = time.monotonic() + 20
    while _runs(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(process)


def _runs(process: int) -> bool:
    try:
        state = Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_few_things_are_not_worth_them() -> None:
    assert Readers(2).are_worth(MANY)
    assert not Readers(2).are_worth(MANY - 1)
    assert not Readers(1).are_worth(1 << 30)


def test_a_quota_leaves_fewer_of_them(tmp_path: Path) -> None:
    there, quota = len(os.sched_getaffinity(0)), tmp_path / "cpu.max"
    assert usable_cpus(quota) == there
    for said, cpus in (("max 100000", there), ("150000 100000", 1), ("50000 100000", 1)):
        quota.write_text(f"{said}\n")
        assert usable_cpus(quota) == cpus
