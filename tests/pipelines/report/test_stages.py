"""Use of stages over time, from commit records alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.batch.receipt import Receipt
from actors.batch.stage_times import StageTime
from pipelines.report.bottleneck import find_bottleneck
from pipelines.report.stages import StageLog
from pipelines.run_state.commit_record import Commit, merge_receipts

START = 1_700_000_000.0
POOL = {"name": "generate", "min_size": 1, "max_size": 1, "num_cpus": 1.5, "num_gpus": 0}
SETUP = {"cpus": 2.0, "gpus": 0.0, "task_cpus": 0.25, "pools": [POOL]}


def commit(unit: int, *calls: tuple[str, str, float, float], rows: int = 4) -> Commit:
    """A unit whose stages worked at the given seconds, for so long, in that worker."""
    times = tuple(
        StageTime(stage, worker, START + begin, busy_s, rows)
        for stage, worker, begin, busy_s in calls
    )
    receipt = Receipt(unit, rows, 0, {}, {}, output_s=2.0, stages=times)
    return merge_receipts(unit, "f", [receipt])


def log_of(*commits: Commit) -> StageLog:
    log = StageLog()
    for record in commits:
        log.add(record)
    return log


def test_use_is_work_over_the_time_of_all_workers() -> None:
    log = log_of(
        commit(0, ("load", "a", 0, 1), ("generate", "g", 1, 9), ("write", "a", 10, 0)),
        commit(1, ("load", "a", 1, 1), ("generate", "g", 5, 5), ("write", "a", 20, 0)),
    )
    timeline = log.timeline(SETUP)
    assert timeline is not None
    assert (timeline.active_s, timeline.pauses) == (20.0, 0)
    load, generate, write = timeline.stages
    assert generate.busy_s == pytest.approx(9)  # two calls at once are one stretch of work
    assert generate.utilisation == pytest.approx(9 / 20)
    assert generate.over_time.mean() == pytest.approx(9 / 20)
    assert load.workers == 2.0  # (2 - 1.5) / 0.25 tasks fit beside the pool
    assert load.utilisation == pytest.approx(2 / 40)
    assert generate.wait_s == pytest.approx((0 + 3) / 2)
    assert write.name == "write"
    assert np.sum(timeline.rows_per_s) * 20 / len(timeline.rows_per_s) == pytest.approx(8)
    assert list(log.real_time_factors) == pytest.approx([10 / 2, 6 / 2])


def test_two_workers_have_twice_the_time() -> None:
    timeline = log_of(
        commit(0, ("generate", "g", 0, 10)), commit(1, ("generate", "h", 0, 5))
    ).timeline({})
    assert timeline is not None
    (generate,) = timeline.stages
    assert (generate.workers, generate.utilisation) == (2.0, pytest.approx(15 / 20))


def test_time_between_two_runs_is_cut_out_but_no_other() -> None:
    log = log_of(
        commit(0, ("generate", "g", 0, 10)),
        commit(1, ("generate", "h", 1000, 10)),
        commit(2, ("generate", "h", 1040, 10)),
    )
    timeline = log.timeline({}, begins=[START - 5, START + 990])
    assert timeline is not None
    assert (timeline.active_s, timeline.pauses) == (60.0, 1)
    whole = log.timeline({})
    assert whole is not None
    assert (whole.active_s, whole.pauses) == (1050.0, 0)


def test_rows_of_a_retry_came_later() -> None:
    unit = commit(0, ("load", "a", 0, 1), ("write", "a", 1, 0))
    again = (StageTime("load", "b", START + 50, 1, 1), StageTime("write", "b", START + 60, 0, 1))
    late = replace(unit, ok=5, stages=(*unit.stages, *again))
    timeline = log_of(late).timeline({}, begins=[START + 40])
    assert timeline is not None
    counts = timeline.rows_per_s * timeline.active_s / len(timeline.rows_per_s)
    assert counts.round(6).tolist() == [4.0, 0, 0, 0, 0, 1.0]
    assert timeline.stages[0].wait_s == 0  # the time between the two tries is no waiting


def test_the_busiest_stage_is_named_with_the_setting_that_widens_it() -> None:
    timeline = log_of(
        commit(0, ("load", "a", 0, 1), ("generate", "g", 1, 9), ("decode", "d", 10, 1))
    ).timeline(SETUP)
    assert timeline is not None
    found = find_bottleneck(timeline, SETUP)
    assert (found.stage, found.setting) == ("generate", "generate.min_size=2")
    assert "generate is the bottleneck: it worked 82% of the time; decode starved" in found.words
    assert "load could have gone on sooner" in found.words
    assert "1 actor of 1.5 CPUs and no GPU" in found.words
    with_gpu = find_bottleneck(timeline, {**SETUP, "gpus": 1.0})
    assert "generate.batch" in with_gpu.words


def test_where_nothing_is_busy_no_stage_is_blamed() -> None:
    timeline = log_of(
        commit(0, ("generate", "g", 0, 1)), commit(1, ("generate", "g", 99, 1))
    ).timeline({})
    assert timeline is not None
    found = find_bottleneck(timeline, {})
    assert found.setting == ""
    assert found.words.startswith("No stage limited this run: the busiest, generate, worked 2%")


def test_records_without_times_have_no_timeline() -> None:
    assert log_of(commit(0)).timeline(SETUP) is None
