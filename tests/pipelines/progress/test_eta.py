"""Time left is right within a fifth after a tenth of the work, on simulated streams of stages."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from pipelines.progress.eta import EtaEstimator
from pipelines.run_state.commit_record import Commit, merge_receipts

START = 1_700_000_000.0
RECORDED = Path(__file__).parents[1] / "recorded/asr_nano.json"
"""Real commits, in their order: rows, then stage, worker, begin and length in seconds of every
call. From `uniaudio2 run asr` of 1600 clips with nano, on two cores; actors work on two units."""


def stream(
    units: int, stages: dict[str, tuple[float, int]], spread: float, seed: int
) -> list[Commit]:
    """Units through stages of (seconds a unit, workers), each free worker taking the next."""
    rng = random.Random(seed)
    free = {name: [START] * workers for name, (_, workers) in stages.items()}
    commits = []
    for unit in range(units):
        at, calls = START, []
        for name, (seconds, _) in stages.items():
            worker = min(range(len(free[name])), key=free[name].__getitem__)
            begin = max(at, free[name][worker])
            busy_s = seconds * rng.uniform(1 - spread, 1 + spread)
            at = free[name][worker] = begin + busy_s
            calls.append(StageTime(name, f"{name}-{worker}", begin, busy_s, 4))
        receipt = Receipt(unit, 4, 0, {}, {}, stages=tuple(calls))
        commits.append(merge_receipts(unit, "f", [receipt]))
    return sorted(commits, key=lambda commit: commit.stages[-1].end)


STREAMS = {
    "slow last": {"load": (0.1, 2), "generate": (2.0, 1), "decode": (5.0, 1), "write": (0.1, 2)},
    "slow first": {"load": (0.1, 2), "encode": (5.0, 1), "generate": (2.0, 1), "write": (0.1, 2)},
    "pools": {"load": (0.5, 2), "encode": (2.0, 2), "generate": (16.0, 8), "write": (0.2, 2)},
    "one stage": {"write": (1.0, 1)},
}


@pytest.mark.parametrize("shape", STREAMS)
@pytest.mark.parametrize("units", [80, 400])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_tenth_of_the_work(shape: str, units: int, seed: int) -> None:
    commits = stream(units, STREAMS[shape], 0.3, seed)
    end = commits[-1].stages[-1].end
    workers = {name: count for name, (_, count) in STREAMS[shape].items()}
    pace = EtaEstimator(rows=4 * units)
    for done, commit in enumerate(commits, 1):
        pace.add(commit)
        now = commit.stages[-1].end
        guess = pace.left_s(now, workers)
        assert guess is not None
        if done >= units // 10:  # the last few units of a pool come all at once
            slack = pytest.approx(end - now, rel=0.2, abs=0.05 * (end - START))
            assert guess == slack, f"{done} of {units}"
    assert pace.left_s(end, workers) == 0.0
    assert pace.began == START


def recorded() -> list[Commit]:
    """The commits of the recorded run."""
    commits = []
    for unit, (rows, calls) in enumerate(json.loads(RECORDED.read_text())):
        times = tuple(StageTime(name, at, START + begin, s, rows) for name, at, begin, s in calls)
        receipt = Receipt(unit, rows, 0, {}, {}, stages=tuple(times))
        commits.append(merge_receipts(unit, "f", [receipt]))
    return commits


def test_a_recorded_run_is_foretold_after_a_tenth_of_it() -> None:
    commits = recorded()
    rows = sum(commit.ok for commit in commits)
    end = max(call.end for commit in commits for call in commit.stages)
    pace, right = EtaEstimator(rows), []
    for commit in commits:
        pace.add(commit)
        now = commit.stages[-1].end
        left = pace.left_s(now, {})
        assert left is not None
        right.append(now + left - START == pytest.approx(end - START, rel=0.2))
    late = right[len(commits) // 10 - 1 :]
    assert sum(late) / len(late) > 0.95


def test_a_worker_with_two_units_in_work_is_occupied_once() -> None:
    def commit(unit: int, begin: float) -> Commit:
        call = StageTime("encode", "w", START + begin, 2.0, 4)
        return merge_receipts(unit, "f", [Receipt(unit, 4, 0, {}, {}, stages=(call,))])

    pace = EtaEstimator(rows=80)
    for unit in range(2):  # both from 0 to 2 s: a unit a second
        pace.add(commit(unit, 0.0))
    assert pace.left_s(START + 2, {}) == pytest.approx(18, rel=0.35)


def test_before_the_first_unit_nothing_is_said() -> None:
    assert EtaEstimator(rows=4).left_s(START, {}) is None


def test_while_nothing_comes_time_runs_down_but_not_below_zero() -> None:
    commits = stream(40, STREAMS["one stage"], 0.0, 0)
    pace = EtaEstimator(rows=160)
    for commit in commits[:20]:
        pace.add(commit)
    now = commits[19].stages[-1].end
    assert pace.left_s(now + 5, {}) == pytest.approx(15)
    assert pace.left_s(now + 500, {}) == 0.0
