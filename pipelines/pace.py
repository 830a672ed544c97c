"""How long a run still takes, judged by the units that have come through."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.ledger import Commit

_SURE_UNITS = 4  # so many units, over so many turns of the slowest stage, show a steady rate
_SURE_TURNS = 2.0


@dataclass
class Pace:
    """Time left of a run.

    The first units tell how long the slowest stage takes for a row; later ones, how many rows a
    second really come out. The time that the first unit needs to come through all stages is
    not held against the others.

    Args:
        rows: rows that this run has to do.
    """

    rows: int
    began: float = 0.0
    _done: int = 0
    _units: int = 0
    _first_end: float = 0.0
    _first_rows: int = 0
    _last_end: float = 0.0
    _busy_s: dict[str, float] = field(default_factory=dict)
    _workers: dict[str, set[str]] = field(default_factory=dict)

    def add(self, commit: Commit) -> None:
        """A unit is committed."""
        self._done += commit.ok + commit.errors
        self._units += 1
        if not commit.stages:
            return
        begin = min(call.begin for call in commit.stages)
        end = max(call.end for call in commit.stages)
        self.began = min(self.began or begin, begin)
        if not self._first_end:
            self._first_end, self._first_rows = end, self._done
        self._last_end = max(self._last_end, end)
        for call in commit.stages:
            self._busy_s[call.stage] = self._busy_s.get(call.stage, 0.0) + call.busy_s
            self._workers.setdefault(call.stage, set()).add(call.worker)

    def left_s(self, now: float) -> float | None:
        """Seconds until the last row is done; None before the first unit is.

        Args:
            now: in seconds since 1970.
        """
        if not self._last_end or not self._done:
            return None
        left = (self.rows - self._done) * self._row_s() - max(now - self._last_end, 0.0)
        return max(left, 0.0)

    def _row_s(self) -> float:
        """Seconds that pass between two rows."""
        turns = [busy_s / len(self._workers[name]) for name, busy_s in self._busy_s.items()]
        turn_s = max(turns) / self._units  # of the slowest stage, for a unit
        steady_s = self._last_end - self._first_end
        if self._units >= _SURE_UNITS and steady_s >= _SURE_TURNS * turn_s:
            return steady_s / max(self._done - self._first_rows, 1)
        return turn_s * self._units / self._done
