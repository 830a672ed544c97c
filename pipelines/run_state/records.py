"""The commit records of an OUTPUT: which of them hold, and what they say.

A unit has one record, and one more for each time that some of its rows were done again; the last
one holds. A record of many units, written when their parts were merged, is numbered apart, in the
order of merging: it holds in the place of what it replaces, whether that is still there or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import TypeVar

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines.causes import STORAGE_READ, reason, stopped
from pipelines.errors import RunFailed, UsageError
from pipelines.run_state.commit_record import (
    FIRST_MERGED,
    MOST_RECORD_BYTES,
    RECORD_NAME,
    UNITS,
    Commit,
)

_READ_THREADS = 16
_READ_AT_ONCE = 256
_MERGED_AT_ONCE = 2  # some megabytes each, and several times that while they are read
_T = TypeVar("_T")


def in_one_line(look: Callable[[], _T]) -> _T:
    """Look into OUTPUT; what cannot be a run's place is refused.

    Raises:
        UsageError: what is there is no run's, or this user may not read it.
        RunFailed: storage did not answer.
        FileNotFoundError: nothing is there.
    """
    try:
        return look()
    except FileNotFoundError:
        raise
    except OSError as fault:
        if isinstance(fault, ForeignPath | NotADirectoryError | PermissionError):
            raise UsageError(f"{fault}; give the OUTPUT of a run") from fault
        raise stopped(STORAGE_READ, reason(fault)) from fault


class UnitRuns:
    """A set of unit numbers, kept as runs of them."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.runs: list[tuple[int, int]] = []
        self.add(runs)

    def add(self, runs: Iterable[tuple[int, int]]) -> None:
        """Take in runs, given by their first and last numbers."""
        joined: list[tuple[int, int]] = []
        for first, last in sorted([*self.runs, *runs]):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], last))
            else:
                joined.append((first, last))
        self.runs = joined

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.runs, number, key=itemgetter(0)) - 1
        return at >= 0 and number <= self.runs[at][1]


class Records:
    """Reads commit records.

    Args:
        storage: OUTPUT.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def paths(self) -> dict[int, list[str]]:
        """Paths of all records by unit, in the order of both; of a unit the last one counts."""
        found: dict[int, list[str]] = {}
        paths = in_one_line(lambda: self.storage.list(UNITS))
        names = [path[:-5] for path in paths if RECORD_NAME.fullmatch(path)]
        for name in sorted(names):  # without the suffix, generations are in their order
            number = int(name.rpartition("/")[2].partition("-")[0])
            found.setdefault(number, []).append(f"{name}.json")
        return found

    def read(self, path: str) -> Commit:
        """One record.

        Raises:
            RunFailed: it went, cannot be read, or is none.
        """
        try:
            data = in_one_line(lambda: self.storage.read(path, MOST_RECORD_BYTES))
        except FileNotFoundError as fault:
            raise RunFailed(f"{self.storage.uri(path)} went while it was read; again") from fault
        return Commit.from_bytes(data, path)

    def read_all(self, paths: Sequence[str]) -> list[Commit]:
        """Some records, in the order of their paths."""
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            return list(pool.map(self.read, paths))

    def holding(self) -> Iterator[Commit]:
        """Every record that holds, few in memory at a time: those of units in their order, behind
        those of many units, the last one first."""
        found, replaced = self.paths(), UnitRuns()
        last = {number: paths[-1] for number, paths in found.items()}
        many = sorted((number for number in last if number >= FIRST_MERGED), reverse=True)
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            for some in _by(_MERGED_AT_ONCE, many):
                wanted = [number for number in some if number not in replaced]
                for record in pool.map(self.read, [last[number] for number in wanted]):
                    if record.unit in replaced:
                        continue
                    replaced.add(record.replaces)
                    yield record
            single = [n for n in last if n < FIRST_MERGED and n not in replaced]
            for some in _by(_READ_AT_ONCE, single):
                yield from pool.map(self.read, [last[number] for number in some])

    def in_order(self) -> Iterator[Commit]:
        """Every record that holds, in the order of the first unit of each; those of many units are
        read twice."""
        found, replaced = self.paths(), UnitRuns()
        first = {number: number for number in found if number < FIRST_MERGED}
        for number in sorted((n for n in found if n >= FIRST_MERGED), reverse=True):
            if number not in replaced:
                runs = self.read(found[number][-1]).replaces
                replaced.add(runs)
                first[number] = runs[0][0]
        holding = [number for number in first if number not in replaced]
        holding.sort(key=lambda number: (first[number], number))
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            for some in _by(_MERGED_AT_ONCE, holding):
                yield from pool.map(self.read, [found[number][-1] for number in some])

    def replaced(self, found: dict[int, list[str]]) -> UnitRuns:
        """The units in whose place other records hold.

        Args:
            found: what `paths` gives.
        """
        replaced = UnitRuns()
        for number in sorted((n for n in found if n >= FIRST_MERGED), reverse=True):
            if number not in replaced:
                replaced.add(self.read(found[number][-1]).replaces)
        return replaced

    def superseded(self) -> list[str]:
        """Paths of records that hold no longer, of units that were replaced and others."""
        found = self.paths()
        replaced = self.replaced(found)
        return [
            path
            for number, paths in found.items()
            for path in (paths if number in replaced else paths[:-1])
        ]

    def next_merged(self) -> int:
        """The number of the next record of many units: whoever creates it first has it."""
        return max(max(self.paths(), default=0) + 1, FIRST_MERGED)


def _by(count: int, items: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(items), count):
        yield items[start : start + count]
