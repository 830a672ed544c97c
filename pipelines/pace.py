"""How long a run still takes, judged by the units that have come through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.ledger import Commit

_GUESS_TURNS = (
    4  # what the slowest stage's turn says counts as much as so many turns that were seen
)


@dataclass
class Pace:
    """Time left of a run.

    At first the turn of the slowest stage tells when the next unit comes; the more units have come,
    the more the time between them counts. The time that the first one needs to come through all
    stages is not held against the others.

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

    def left_s(self, now: float, workers: Mapping[str, int]) -> float | None:
        """Seconds until the last row is done; None before the first unit is.

        Args:
            now: in seconds since 1970.
            workers: actors by stage, as far as they are known; not all have brought a unit yet.
        """
        if not self._last_end or not self._done:
            return None
        left = (self.rows - self._done) * self._row_s(workers) - max(now - self._last_end, 0.0)
        return max(left, 0.0)

    def _row_s(self, workers: Mapping[str, int]) -> float:
        """Seconds that pass between two rows."""
        pools = {name: max(len(at), workers.get(name, 0)) for name, at in self._workers.items()}
        slowest = max(pools, key=lambda name: self._busy_s[name] / pools[name])
        # in a turn every worker of a pool brings a unit
        guess_s = _GUESS_TURNS * self._busy_s[slowest] / self._units
        guess_rows = _GUESS_TURNS * pools[slowest] * self._done / self._units
        came_s, came_rows = self._last_end - self._first_end, self._done - self._first_rows
        return (guess_s + came_s) / (guess_rows + came_rows)
