"""Time left is right within a fifth after a tenth of the work, on simulated streams of stages."""

from __future__ import annotations

import random

import pytest

from actors.times import StageTime
from pipelines.ledger import Commit, merge_receipts
from pipelines.pace import Pace

START = 1_700_000_000.0


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
        receipt = {"ok": 4, "errors": 0, "data": [], "error_parts": [], "kinds": {}, "files": {}}
        commits.append(merge_receipts(unit, "f", [{**receipt, "stages": tuple(calls)}]))
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
    pace = Pace(rows=4 * units)
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


def test_before_the_first_unit_nothing_is_said() -> None:
    assert Pace(rows=4).left_s(START, {}) is None


def test_while_nothing_comes_time_runs_down_but_not_below_zero() -> None:
    commits = stream(40, STREAMS["one stage"], 0.0, 0)
    pace = Pace(rows=160)
    for commit in commits[:20]:
        pace.add(commit)
    now = commits[19].stages[-1].end
    assert pace.left_s(now + 5, {}) == pytest.approx(15)
    assert pace.left_s(now + 500, {}) == 0.0
