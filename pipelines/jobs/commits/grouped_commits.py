"""Units that come quickly are committed together: one record every few seconds, not one a unit.

A unit that comes when no record was written for a while is committed at once, so slow units never
wait. Those behind it wait until the time is over, with the main thread or without it: what a kill
costs is bounded by time, however long the next unit takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from pipelines.run_state.commit_record import Commit

MOST_UNITS = 512
_MOST_ROWS = 1 << 16  # so few that the record can be merged with others, see `compaction`
_MOST_FILES = 1 << 14


@dataclass(frozen=True)
class Size:
    """How much a record names."""

    units: int = 0
    rows: int = 0
    errors: int = 0
    files: int = 0
    part_bytes: int = 0

    @staticmethod
    def of(commit: Commit) -> Size:
        """That of a unit's record."""
        parts = (*commit.data, *commit.error_parts)
        part_bytes = sum(int(commit.files[path][0]) for path in parts if path in commit.files)
        return Size(1, commit.ok + commit.errors, commit.errors, len(commit.files), part_bytes)

    def __add__(self, other: Size) -> Size:
        return Size(
            self.units + other.units,
            self.rows + other.rows,
            self.errors + other.errors,
            self.files + other.files,
            self.part_bytes + other.part_bytes,
        )

    def fits(self, most_bytes: int) -> bool:
        """Whether a record of many units may be as large."""
        return (
            self.units <= MOST_UNITS
            and self.rows <= _MOST_ROWS
            and self.files <= _MOST_FILES
            and self.part_bytes <= most_bytes
        )


class GroupedCommits:
    """Gathers the commits of units that come quickly; a context manager around them.

    Args:
        write: makes units visible in one record. It is called from one thread at a time, which
            may be another than the one that adds.
        interval_s: longest time that a unit waits; 0 commits each by itself.
        most_bytes: of parts in one record of several units.

    Attributes:
        waiting: how much is not committed yet.
    """

    def __init__(
        self, write: Callable[[Sequence[Commit]], None], interval_s: float, most_bytes: int
    ) -> None:
        self.write = write
        self.interval_s = interval_s
        self.most_bytes = most_bytes
        self._commits: list[Commit] = []
        self.waiting = Size()
        self._written_at = -float("inf")
        self._fault: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, commit: Commit, alone: bool = False) -> None:
        """Commit a unit, now or within `interval_s`.

        Args:
            commit: of the unit.
            alone: in a record of its own, now.

        Raises:
            RunFailed: this one, or one that waited, could not be committed.
        """
        with self._changed:
            self._raise_fault()
            size = self.waiting + Size.of(commit)
            if alone or not size.fits(self.most_bytes):
                self._flush()
                size = Size.of(commit)
            self._commits.append(commit)
            self.waiting = size
            if alone or time.monotonic() >= self._written_at + self.interval_s:
                self._flush()
            else:
                self._watch_clock()

    def flush(self) -> None:
        """Commit what waits now; raises as `add`."""
        with self._changed:
            self._raise_fault()
            self._flush()

    def __enter__(self) -> GroupedCommits:
        """May be entered again, one after the other."""
        self._closed = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        """Commit what waits, also where something else ends the run: it is done."""
        try:
            with self._changed:
                self._closed = True
                self._changed.notify()
                if kind is None:
                    self.flush()
                    return
                with suppress(Exception):  # what ended the run is what is told
                    self._flush()
        finally:
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    def _raise_fault(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _flush(self) -> None:
        """Write one record of what waits.

        What it takes out is never tried again by this run: a write that was cut off may have
        taken effect.
        """
        commits, self._commits, self.waiting = self._commits, [], Size()
        if commits:
            try:
                self.write(commits)
            finally:
                self._written_at = time.monotonic()

    def _watch_clock(self) -> None:
        """See that what waits is written in time, also while no other unit comes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed and self._fault is None:
                left_s = self._written_at + self.interval_s - time.monotonic()
                if not self._commits or left_s > 0:
                    self._changed.wait(left_s if self._commits else None)
                    continue
                try:
                    self._flush()
                except BaseException as fault:  # the main thread raises it
                    self._fault = fault
