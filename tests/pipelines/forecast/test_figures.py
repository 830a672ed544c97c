from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from pipelines.config.job import JobConfig
from pipelines.forecast.figures import Left, Prices, estimated, figures_of, stage_work
from pipelines.forecast.pools import Setup
from pipelines.forecast.probe import Probe, Probed
from pipelines.planning.pool_sizing import Allocation

UNIT = Probed(
    rows=10, errors=1, input_s=20.0, output_s=0.0, bytes=500, part_bytes=500, objects=2,
    tokens=100, busy_s={"load": 0.5, "encode": 1.5},
)  # fmt: skip
INLINE = Setup("inline", 1, {"CPU": 2.0}, Allocation((), 1.0, ()))
JOB = JobConfig(task="tokenize", input="in.jsonl", output="out")


def figures(units: list[Probed], left: Left, prices: Prices | None = None) -> dict[str, float]:
    probe = Probe(tuple(units), begin_s=3.0, first_s=1.8, first_rows=4)
    return figures_of(units, probe, left, INLINE, JOB, prices or Prices())


def test_a_probe_is_multiplied_by_rows() -> None:
    found = figures([UNIT] * 4, Left(400, 10))
    assert found["ok"] == 360
    assert found["errors"] == 40
    assert found["input_hours"] == pytest.approx(800 / 3600)
    assert found["bytes"] == 20_000
    assert found["tokens"] == 4000
    assert found["load.busy_s"] == pytest.approx(20)
    assert found["encode.busy_s_per_row"] == pytest.approx(0.15)
    assert found["encode.busy_s_per_audio_s"] == pytest.approx(0.075)
    # 0.2 s a row; the four of the warm-up took 1 s more than that
    assert found["start_s"] == pytest.approx(4.0)
    assert found["wall_s"] == pytest.approx(84)


def test_or_by_seconds_of_audio_where_all_rows_tell_them() -> None:
    units = [replace(UNIT, told_s=20.0)] * 4
    longer = figures(units, Left(400, 10, row_s=4.0))
    assert longer["load.busy_s"] == pytest.approx(40)
    assert longer["errors"] == 40  # of rows
    assert figures([*units, UNIT], Left(400, 10, row_s=4.0))["load.busy_s"] == pytest.approx(20)


def test_rows_that_break_a_rule_are_made_again() -> None:
    units = [replace(UNIT, unverified=5)]
    work = stage_work(units, Left(10, 1), attempts=3)
    assert work["encode"] == pytest.approx(1.5 * (1 + 0.5 + 0.25))


def test_money() -> None:
    found = figures([UNIT] * 2, Left(400, 10), Prices(gpu_hour=2.0, cpu_hour=0.5))
    assert found["cpu_hours"] == pytest.approx(2 * 84 / 3600)
    assert found["cpu_price"] == pytest.approx(found["cpu_hours"] / 2)
    assert found["gpu_price"] == 0.0
    assert found["price"] == found["cpu_price"]  # requests to a disk cost nothing
    assert "cpu_price" not in figures([UNIT], Left(400, 10))


def test_ranges_are_as_wide_as_units_differ() -> None:
    many = partial(figures, left=Left(400, 10))
    same = estimated([UNIT] * 4, lambda units: many(list(units)))
    assert same["wall_s"].low == pytest.approx(same["wall_s"].high)
    slow = replace(UNIT, busy_s={"load": 0.5, "encode": 3.0})
    mixed = estimated([UNIT, slow, UNIT, slow], lambda units: many(list(units)))
    assert mixed["tokens"].low == pytest.approx(mixed["tokens"].high)
    wall = mixed["wall_s"]
    assert wall.low < wall.value < wall.high
    # the mean of two kinds, 60 s apart, by four units: standard error 17.3 s, and t is 3.18
    assert wall.high - wall.value == pytest.approx(55, rel=0.15)
    eight = estimated([UNIT, slow] * 4, lambda units: many(list(units)))["wall_s"]
    assert eight.high - eight.low < (wall.high - wall.low) * 0.7
    alone = estimated([UNIT], lambda units: many(list(units)))["wall_s"]
    assert (alone.low, alone.high) == (0.0, 2 * alone.value)


def test_the_same_probe_gives_the_same_ranges() -> None:
    slow = replace(UNIT, tokens=300)
    once, again = (
        estimated([UNIT, slow, UNIT], lambda units: figures(list(units), Left(400, 10)))
        for _ in range(2)
    )
    assert once == again
