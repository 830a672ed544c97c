"""Estimate the time left of a run from the units that are committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pipelines.run_state.commit_record import Commit

_GUESS_TURNS = 4
"""What the slowest stage's turn says counts as much as so many turns that were seen."""
_UNITS_SEEN = 512
"""A line goes through the latest of them; what was long ago tells little of what comes."""


@dataclass
class _Occupied:
    """Time in which one worker was at work in one stage.

    A worker has more than one unit in work at once, so the times of its calls overlap.
    """

    seconds: float = 0.0
    until: float = 0.0

    def add(self, begin: float, end: float) -> None:
        """Count what of a call was not counted yet; calls come in the order of their commits."""
        self.seconds += max(end - max(begin, self.until), 0.0)
        self.until = max(end, self.until)


@dataclass
class EtaEstimator:
    """Time left of a run.

    At first the turn of the slowest stage tells when the next unit comes; the more units have come,
    the more a line through them counts, for they come in bursts. The time that the first one needs
    to come through all stages is not held against the others.

    Args:
        rows: rows that this run has to do.
    """

    rows: int
    began: float = 0.0
    _done: int = 0
    _units: int = 0
    _last_end: float = 0.0
    _came: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_UNITS_SEEN))
    _stages: dict[str, dict[str, _Occupied]] = field(default_factory=dict)

    def add(self, commit: Commit) -> None:
        """A unit is committed."""
        self._done += commit.ok + commit.errors
        self.rows += commit.added_rows
        self._units += 1
        if not commit.stages:
            return
        begin = min(call.begin for call in commit.stages)
        end = max(call.end for call in commit.stages)
        self.began = min(self.began or begin, begin)
        self._last_end = max(self._last_end, end)
        self._came.append((self._last_end, self._done))
        for call in commit.stages:
            pool = self._stages.setdefault(call.stage, {})
            pool.setdefault(call.worker, _Occupied()).add(call.begin, call.end)

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
        sizes = {name: max(len(pool), workers.get(name, 0)) for name, pool in self._stages.items()}
        busy_s = {
            name: sum(one.seconds for one in pool.values()) for name, pool in self._stages.items()
        }
        slowest = max(sizes, key=lambda name: busy_s[name] / sizes[name])
        # in a turn every worker of a pool brings a unit
        guess_s = _GUESS_TURNS * busy_s[slowest] / self._units
        guess_rows = _GUESS_TURNS * sizes[slowest] * self._done / self._units
        came_rows = self._came[-1][1] - self._came[0][1]
        return (guess_s + came_rows * _slope(self._came)) / (guess_rows + came_rows)


def _slope(points: Collection[tuple[float, int]]) -> float:
    """Seconds a row of the line that fits points of (second, rows done) best."""
    mean_s = sum(second for second, _ in points) / len(points)
    mean_rows = sum(rows for _, rows in points) / len(points)
    spread = sum((rows - mean_rows) ** 2 for _, rows in points)
    both = sum((second - mean_s) * (rows - mean_rows) for second, rows in points)
    return both / spread if spread else 0.0
