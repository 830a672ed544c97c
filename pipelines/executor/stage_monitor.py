"""What the stages of a running stream are doing: the executor writes it, the progress view reads
it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

TASK_STAGES = ("load", "write")
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class StageState:
    """One stage at a moment.

    Attributes:
        name: of the stage.
        rows: rows that came out of it in this pass; of the last stage, units.
        queue: units that wait for it.
        running: units in it.
        ready: actors that can work; 0 for tasks.
        pending: actors that are starting.
    """

    name: str
    rows: int
    queue: int
    running: int
    ready: int
    pending: int


class StageBoard:
    """The latest states; the stream's thread writes, the view's thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._states: tuple[StageState, ...] = ()
        self._shown = 0.0
        self._doing, self._since = "", 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The stages of the stream that runs, in order."""
        return self._names

    def expect(self, names: tuple[str, ...]) -> None:
        """A stream with these stages begins; with none, one is over."""
        with self._lock:
            self._names, self._states, self._shown = names, (), 0.0

    def doing(self, words: str) -> None:
        """Say what is being done before stages can be seen; "" when nothing is."""
        with self._lock:
            if words != self._doing:
                self._doing, self._since = words, time.monotonic()

    def done_so_far(self) -> tuple[str, float]:
        """What `doing` said last, and for how many seconds it has been so."""
        with self._lock:
            return self._doing, time.monotonic() - self._since

    def is_due(self) -> bool:
        """Whether it is time to look again; at most four times a second."""
        now = time.monotonic()
        if now - self._shown < _LOOK_EVERY_S:
            return False
        self._shown = now
        return True

    def show(self, states: tuple[StageState, ...]) -> None:
        """Replace the states, one for each name."""
        with self._lock:
            self._states = states

    def states(self) -> tuple[StageState, ...]:
        """The latest states; empty when nothing runs or nothing can be seen."""
        with self._lock:
            return self._states


BOARD = StageBoard()


def stage_states() -> tuple[StageState, ...]:
    """What the stages are doing; empty when nothing runs or nothing can be seen."""
    return BOARD.states()
