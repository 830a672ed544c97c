"""What the stages of a running stream are doing: the executor writes it, the progress view reads
it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from actors.disks.remembered import remember, remembered

TASK_STAGES = ("load", "write")
_LOOK_EVERY_S = 0.25
_SHORT_S = 0.5


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
        self._usual_s: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The stages of the stream that runs, in order."""
        return self._names

    def expect(self, names: tuple[str, ...]) -> None:
        """A stream with these stages begins; with none, one is over."""
        with self._lock:
            self._names, self._states, self._shown = names, (), 0.0

    def doing(self, words: str) -> None:
        """Say what is being done before stages can be seen; "" when nothing is.

        How long it took is remembered, so that the next run knows what to expect.
        """
        with self._lock:
            if words == self._doing:
                return
            before, took_s = self._doing, time.monotonic() - self._since
            self._doing, self._since = words, time.monotonic()
            self._usual_s = remembered(f"start:{words}") if words else None
        if before and took_s > _SHORT_S:
            remember(f"start:{before}", round(took_s, 1))

    def being_done(self) -> str:
        """What `doing` said last, for how long, and how long it took the last time; or ""."""
        with self._lock:
            if not self._doing:
                return ""
            usual = "" if self._usual_s is None else f" of about {self._usual_s:.0f}"
            return f"{self._doing}, {time.monotonic() - self._since:.0f}{usual} s"

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
        if all(state.ready or state.name in TASK_STAGES for state in states):
            self.doing("")

    def states(self) -> tuple[StageState, ...]:
        """The latest states; empty when nothing runs or nothing can be seen."""
        with self._lock:
            return self._states


BOARD = StageBoard()


def stage_states() -> tuple[StageState, ...]:
    """What the stages are doing; empty when nothing runs or nothing can be seen."""
    return BOARD.states()
