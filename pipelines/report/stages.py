"""Compute the utilization of each stage over time from the calls in the commit records."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.executor.stage_monitor import TASK_STAGES
from pipelines.run_state.commit_record import Commit

STAGES = ("load", "encode", "generate", "decode", "score", "write")
BINS = 72
_FEWEST_BINS = 6

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StageUsage:
    """Utilization of one stage.

    Attributes:
        name: of the stage.
        workers: processes that worked for it; of tasks, how many there is room for at once.
        calls: units that it worked on.
        rows: rows that were good after it.
        failed: rows that it gave up.
        busy_s: seconds of work, those of calls side by side in one worker once.
        utilisation: share of the workers' time that was work.
        wait_s: mean time that a unit waited for it.
        over_time: utilisation by time, ``[BINS]``.
    """

    name: str
    workers: float
    calls: int
    rows: int
    failed: int
    busy_s: float
    utilisation: float
    wait_s: float
    over_time: Floats


@dataclass(frozen=True)
class Timeline:
    """A run over the time in which it worked; pauses between its runs are cut out.

    Attributes:
        active_s: seconds in which anything was at work.
        pauses: how many pauses were cut out.
        rows_per_s: rows committed a second by time, at most ``[BINS]``.
        audio_per_s: seconds of audio a second, likewise.
        stages: use of every stage, in the order of the stream.
    """

    active_s: float
    pauses: int
    rows_per_s: Floats
    audio_per_s: Floats
    stages: tuple[StageUsage, ...]


@dataclass
class _Calls:
    """The calls of one stage: times in seconds since 1970."""

    begin: array[float] = field(default_factory=lambda: array("d"))
    busy_s: array[float] = field(default_factory=lambda: array("d"))
    worker: list[str] = field(default_factory=list)
    waited_s: float = 0.0
    rows: int = 0
    failed: int = 0


class StageLog:
    """Collects the calls of commit records, a few numbers each, and makes a timeline of them."""

    def __init__(self) -> None:
        self._stages: dict[str, _Calls] = {}
        self._ends = array("d")
        self._rows = array("d")
        self._audio_s = array("d")
        self.real_time_factors = array("d")

    def add(self, commit: Commit) -> None:
        """Take in what a record tells of its unit."""
        if not commit.stages:
            return
        self._arrived(commit)
        longest_s = max(commit.input_s, commit.output_s)
        if longest_s > 0:
            self.real_time_factors.append(sum(call.busy_s for call in commit.stages) / longest_s)
        before_end: float | None = None
        for call in commit.stages:
            calls = self._stages.setdefault(call.stage, _Calls())
            calls.begin.append(call.begin)
            calls.busy_s.append(call.busy_s)
            calls.worker.append(sys.intern(call.worker))
            calls.rows += call.rows
            calls.failed += call.failed
            # another try of some rows begins anew
            if call.stage != STAGES[0] and before_end is not None:
                calls.waited_s += max(call.begin - before_end, 0.0)
            before_end = call.end

    def _arrived(self, commit: Commit) -> None:
        """Record when the unit's rows came out; those of a retry came later than the others."""
        written = [call for call in commit.stages if call.stage == STAGES[-1]]
        ends = [call.end for call in written] or [max(call.end for call in commit.stages)]
        rows = [call.rows for call in written] or [0]
        rows[-1] += commit.ok + commit.errors - sum(rows)
        audio_s = commit.input_s + commit.output_s
        self._ends.extend(ends)
        self._rows.extend(rows)
        self._audio_s.extend(audio_s * count / max(sum(rows), 1) for count in rows)

    def timeline(self, setup: Mapping[str, Any], begins: Sequence[float] = ()) -> Timeline | None:
        """The run over time; None when no record tells of any call.

        Args:
            setup: of ``run.json``: the CPUs, and the pools that share them.
            begins: when it was begun, gone on with, or failed rows were tried again.
        """
        if not self._stages:
            return None
        periods = _active_periods(self._stages, begins)
        active_s = float(np.diff(periods, axis=1).sum())
        edges = np.linspace(0.0, active_s, BINS + 1)
        # units come in lumps: of few units, many bins would show nothing but these
        bins = min(max(len(self._ends) // 3, _FEWEST_BINS), BINS)
        width_s = max(active_s / bins, 1e-9)
        ends = _active_time(np.array(self._ends), periods)
        rows, _ = np.histogram(ends, bins, (0.0, active_s), weights=np.array(self._rows))
        audio, _ = np.histogram(ends, bins, (0.0, active_s), weights=np.array(self._audio_s))
        uses = [
            _use(name, calls, periods, edges, _room(name, calls, setup))
            for name, calls in sorted(self._stages.items(), key=lambda item: stage_order(item[0]))
        ]
        return Timeline(active_s, len(periods) - 1, rows / width_s, audio / width_s, tuple(uses))


def stage_order(name: str) -> int:
    """Place of a stage in the pipeline; one that is not known comes last."""
    return STAGES.index(name) if name in STAGES else len(STAGES)


def _active_periods(stages: Mapping[str, _Calls], begins: Sequence[float]) -> Floats:
    """Periods in which a run was at work, ``[S, 2]`` seconds since 1970.

    Between two of them nothing worked and a run began: a gap in which none began belongs to the
    work, for something kept it waiting.
    """
    begin = np.concatenate([np.array(calls.begin) for calls in stages.values()])
    end = begin + np.concatenate([np.array(calls.busy_s) for calls in stages.values()])
    order = np.argsort(begin)
    begin, reach = begin[order], np.maximum.accumulate(end[order])
    new = np.sort(np.array(begins, dtype=np.float64))
    begun = np.searchsorted(new, begin[1:]) > np.searchsorted(new, reach[:-1])
    starts = np.concatenate([[True], begun & (begin[1:] > reach[:-1])])
    lasts = np.concatenate([starts[1:], [True]])
    return np.stack([begin[starts], np.maximum(reach[lasts], begin[starts] + 1e-3)], axis=1)


def _active_time(moments: Floats, periods: Floats) -> Floats:
    """Seconds of work before each moment."""
    before = np.concatenate([[0.0], np.cumsum(np.diff(periods, axis=1)[:, 0])])
    index = np.clip(np.searchsorted(periods[:, 0], moments, side="right") - 1, 0, None)
    inside = np.clip(moments - periods[index, 0], 0.0, periods[index, 1] - periods[index, 0])
    return np.asarray(before[index] + inside)


def _merged(begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Calls side by side in one worker as one stretch of work."""
    order = np.argsort(begin)
    begin, reach = begin[order], np.maximum.accumulate(end[order])
    starts = np.concatenate([[True], begin[1:] > reach[:-1]])
    return begin[starts], reach[np.concatenate([starts[1:], [True]])]


def _busy_by_bin(begin: Floats, end: Floats, edges: Floats) -> Floats:
    """Seconds of work in each bin, ``[BINS]``: differences of the work done before each edge."""
    done = np.array([(np.minimum(end, edge) - np.minimum(begin, edge)).sum() for edge in edges])
    return np.asarray(np.diff(done))


def _room(name: str, calls: _Calls, setup: Mapping[str, Any]) -> float:
    """Workers of a stage: actors that were seen; for tasks, how many the other CPUs can hold."""
    seen = float(len(set(calls.worker)))
    if name not in TASK_STAGES or not setup.get("task_cpus"):
        return seen
    held: float = sum(pool["min_size"] * pool["num_cpus"] for pool in setup.get("pools", ()))
    room: float = (setup.get("cpus", 0.0) - held) / setup["task_cpus"]
    return max(room, 1.0)


def _use(name: str, calls: _Calls, periods: Floats, edges: Floats, workers: float) -> StageUsage:
    begin = np.array(calls.begin)
    end = begin + np.array(calls.busy_s)
    names = np.array(calls.worker)
    parts = [_merged(begin[names == one], end[names == one]) for one in sorted(set(calls.worker))]
    begin = _active_time(np.concatenate([part[0] for part in parts]), periods)
    end = _active_time(np.concatenate([part[1] for part in parts]), periods)
    active_s = max(float(edges[-1]), 1e-9)
    busy_s = float((end - begin).sum())
    return StageUsage(
        name=name,
        workers=workers,
        calls=len(calls.begin),
        rows=calls.rows,
        failed=calls.failed,
        busy_s=busy_s,
        utilisation=min(busy_s / (workers * active_s), 1.0),
        wait_s=calls.waited_s / len(calls.begin),
        over_time=np.clip(
            _busy_by_bin(begin, end, edges) * (len(edges) - 1) / (workers * active_s), 0.0, 1.0
        ),
    )
