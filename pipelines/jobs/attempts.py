"""Rows that are made again: which ones, how often they were made, and the units that they go in.

A worker stores what it made of rows that break a job's rule (`actors.verify`) before it says so;
their keys then stay out of the unit's commit, so that they are still to be done. What is known of
them is in these files alone: a run that is killed finds it there.
"""

from __future__ import annotations

import base64
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from actors.batch.receipt import Receipt
from actors.batch.unit import KEY_BYTES, UnitSpec, unit_fingerprint
from actors.storage.object_store import Storage
from actors.verify.attempt_file import attempts_made
from pipelines.run_state.commit_record import Commit


@dataclass(frozen=True)
class _Row:
    """A row that is to be made again.

    Attributes:
        key: of it.
        unit: of one source, that it is in.
        number: its place there.
        attempt: the next one.
        earlier: file that holds the best of those before.
        share: what part of a unit it is.
    """

    key: bytes
    unit: UnitSpec
    number: int
    attempt: int
    earlier: str
    share: float


@dataclass
class Attempts:
    """Keeps count of rows that are made again.

    Attributes:
        storage: of OUTPUT.
        redoes: the committed unit whose rows a unit does again, by the number of the latter.
        free: the next number that no unit has.
    """

    storage: Storage
    redoes: dict[int, int] = field(default_factory=dict)
    free: int = 0
    _waiting: dict[int | None, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    _held: dict[str, set[bytes]] = field(default_factory=dict)  # rows that still need a file
    _done: dict[bytes, str] = field(default_factory=dict)  # those that do until they are committed
    _shares: dict[int, float] = field(default_factory=dict)  # what part of a unit a row is
    _lock: threading.Lock = field(default_factory=threading.Lock)  # commits have a thread

    def begin(
        self, units: Sequence[UnitSpec], redoes: Mapping[int, int], free: int
    ) -> list[UnitSpec]:
        """Units as they are to be done, when an earlier run has made some of their rows.

        Args:
            units: that are to be done.
            redoes: as the attribute.
            free: as the attribute.
        """
        self.redoes, self.free = dict(redoes), free
        made = self._made()
        for key, (_, path) in made.items():  # also of rows that this run does not ask for
            self._held.setdefault(path, set()).add(key)
        first = [one for unit in units for one in self._begun(unit, made)]
        return [*self.units(), *first]

    def _made(self) -> dict[bytes, tuple[int, str]]:
        """How often rows were made, and the file that says so, by their keys."""
        made: dict[bytes, tuple[int, str]] = {}
        for path, rows in attempts_made(self.storage):
            made.update(
                (key, (n, path)) for key, n in rows.items() if (n, path) > made.get(key, (0, ""))
            )
        return made

    def _begun(self, unit: UnitSpec, made: Mapping[bytes, tuple[int, str]]) -> Iterator[UnitSpec]:
        """What of a unit is to be done for the first time; the other rows wait."""
        keys = _keys(unit.row_keys)
        fresh = [place for place, key in enumerate(keys) if key not in made]
        for place, key in enumerate(keys):
            if key in made:
                attempt, path = made[key]
                number = unit.row_numbers[place]
                row = _Row(key, unit, number, attempt, path, 1 / unit.row_count)
                self._waiting[self.redoes.get(unit.unit)].append(row)
        if not fresh:
            return
        if len(fresh) < len(keys):
            only = tuple(unit.row_numbers[place] for place in fresh)
            own = b"".join(keys[place] for place in fresh)
            unit = replace(unit, only=only, keys=own, fingerprint=unit_fingerprint(own))
        yield replace(unit, shown_keys=base64.b64encode(unit.row_keys).decode())

    def arrived(self, unit: UnitSpec, receipts: Iterable[Receipt]) -> None:
        """Take in what came of a unit."""
        with self._lock:
            self._arrived(unit, receipts)

    def _arrived(self, unit: UnitSpec, receipts: Iterable[Receipt]) -> None:
        paths = {bytes.fromhex(key): one.attempts for one in receipts for key in one.again}
        redoes = self.redoes.get(unit.unit)
        share = self._shares.pop(unit.unit, 1 / unit.row_count)
        for member in unit.singles:
            numbers = member.only or range(member.stop - member.start)
            keys = _keys(base64.b64decode(member.shown_keys))
            for number, key in zip(numbers, keys, strict=True):
                path = paths.get(key)
                if path is None:
                    if member.earlier:
                        self._done[key] = member.earlier
                    continue
                self._forget(key, member.earlier)
                self._held.setdefault(path, set()).add(key)
                row = _Row(key, member, number, member.attempt + 1, path, share)
                self._waiting[redoes].append(row)

    def committed(self, commits: Sequence[Commit]) -> None:
        """Let go of what earlier attempts made of rows that are done."""
        with self._lock:
            for commit in commits if self._done else ():
                for key in _keys(commit.row_keys):
                    self._forget(key, self._done.pop(key, ""))

    def _forget(self, key: bytes, path: str) -> None:
        rows = self._held.get(path)
        if rows is None:
            return
        rows.discard(key)
        if not rows:
            del self._held[path]
            self.storage.delete(path)

    def units(self, only_whole: bool = False) -> list[UnitSpec]:
        """Units of rows that wait.

        Args:
            only_whole: leave those that make no unit as large as the ones that they were in.
        """
        found = []
        for redoes, rows in self._waiting.items():
            while rows:
                size, share = 0, 0.0
                while size < len(rows) and share < 1 - 1e-9:
                    share += rows[size].share
                    size += 1
                if only_whole and share < 1 - 1e-9:
                    break
                found.append(_joined(self.free, rows[:size]))
                self._shares[self.free] = share / size
                if redoes is not None:
                    self.redoes[self.free] = redoes
                self.free += 1
                del rows[:size]
        return found


def _keys(keys: bytes) -> list[bytes]:
    return [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]


def _joined(number: int, rows: Sequence[_Row]) -> UnitSpec:
    """A unit of rows of several."""

    def place(row: _Row) -> tuple[int, str, int]:
        return id(row.unit), row.earlier, row.attempt

    members = []
    order = {place(row): at for at, row in reversed(list(enumerate(rows)))}
    in_order = sorted(rows, key=lambda row: (order[place(row)], row.number))
    for _, some in groupby(in_order, key=place):
        own = list(some)
        keys = b"".join(row.key for row in own)
        members.append(
            replace(
                own[0].unit,
                unit=number,
                row=None,
                only=tuple(row.number for row in own),
                wanted=(),
                kept="",
                keys=keys,
                fingerprint="",
                attempt=own[0].attempt,
                earlier=own[0].earlier,
                shown_keys=base64.b64encode(keys).decode(),
            )
        )
    keys = b"".join(row.key for row in in_order)
    # tokens that are kept are those of an attempt
    told = keys + np.array([row.attempt for row in in_order], "<u4").tobytes()
    return UnitSpec(
        number, "", 0, len(rows), "", unit_fingerprint(told), keys=keys, members=tuple(members)
    )
