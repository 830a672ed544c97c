"""Units that a stream is given, to which more come while it runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence

from actors.batch.unit import UnitSpec


class UnitFeed(Sequence[UnitSpec]):
    """Units for one stream: those that were planned, and before them any that are added meanwhile.

    Several threads may take units from it. It is at its end when none is left and all that came of
    those which were taken has been looked at, for that is what more may follow from.

    Args:
        units: to begin with.
    """

    def __init__(self, units: Sequence[UnitSpec]) -> None:
        self._all, self._left = list(units), deque(units)
        self._under_way = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: int) -> UnitSpec:  # type: ignore[override] # slices are not asked for
        return self._all[place]

    def __iter__(self) -> Iterator[UnitSpec]:
        while (unit := self.take()) is not None:
            yield unit
            self.looked_at()

    @property
    def left(self) -> int:
        """How many nobody has taken yet."""
        return len(self._left)

    def add(self, units: Sequence[UnitSpec]) -> None:
        """Have units done next."""
        with self._changed:
            self._all.extend(units)
            self._left.extendleft(reversed(units))
            self._changed.notify_all()

    def take(self) -> UnitSpec | None:
        """The next unit; waits while one may still come, and is None when none will."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or self._is_closed or not self._under_way)
            if self._is_closed or not self._left:
                return None
            self._under_way += 1
            return self._left.popleft()

    def take_now(self, most: int) -> list[UnitSpec]:
        """So many units at most, of those that are there."""
        with self._changed:
            found = [self._left.popleft() for _ in range(min(most, len(self._left)))]
            self._under_way += len(found)
            return found

    def looked_at(self, units: int = 1) -> None:
        """Nothing more comes of some of the units that were taken."""
        with self._changed:
            self._under_way -= units
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether nobody will be given more."""
        return self._is_closed or not (self._left or self._under_way)

    def close(self) -> None:
        """Nobody is given more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
