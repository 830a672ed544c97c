from __future__ import annotations

import os

import pytest

from pipelines.config.job import JobConfig
from pipelines.errors import UsageError
from pipelines.forecast.pools import (
    Setup,
    balanced,
    proposals,
    setup_of,
    stage_spans,
    steady_wall_s,
)
from pipelines.planning.pool_sizing import Allocation, Pool


def job(**settings: object) -> JobConfig:
    return JobConfig(task="speech_s2s", input="in", output="out", **settings)  # type: ignore[arg-type]


BUSY = {"load": 10.0, "encode": 100.0, "generate": 600.0, "decode": 200.0, "write": 5.0}


def test_pools_grow_by_what_they_have_to_do() -> None:
    setup = setup_of(job(), 1000, (), cpus=64, gpus=8)
    grown = balanced(setup, BUSY)
    sizes = {pool.name: pool.min_size for pool in grown.allocation.pools}
    assert sizes["generate"] > sizes["decode"] >= sizes["encode"] >= 1
    assert sum(pool.min_size * pool.num_gpus for pool in grown.allocation.pools) <= 8
    said = proposals(setup, grown)
    assert f"--set generate.min_size={sizes['generate']}" in said
    assert "encode.min_size=1" not in " ".join(said)
    assert steady_wall_s(grown, BUSY, 100) < steady_wall_s(setup, BUSY, 100)


def test_a_size_that_is_given_stays() -> None:
    fixed = setup_of(job(generate={"max_size": 1}), 1000, (), cpus=64, gpus=8)
    sizes = {pool.name: pool.min_size for pool in balanced(fixed, BUSY).allocation.pools}
    assert sizes["generate"] == 1  # and the slowest is what counts
    assert sizes["decode"] == 1


def test_the_slowest_pool_and_one_way_through_the_others() -> None:
    pools = (Pool("encode", 1, 4, 1, 1, {}), Pool("generate", 4, 4, 1, 1, {}))
    setup = Setup("ray", 1, {"CPU": 100.0, "GPU": 5.0}, Allocation(pools, 1.0, ()))
    busy = {"load": 95.0, "encode": 50.0, "generate": 100.0}
    assert stage_spans(setup, busy) == pytest.approx(
        {"load": 1.0, "encode": 50.0, "generate": 25.0}
    )
    # ten units: 50 s of the encoder, 24.5 s that one unit takes, of which 5 s in the encoder
    assert steady_wall_s(setup, busy, 10) == pytest.approx(50 + 19.5)


def test_pools_without_gpus_share_the_processors() -> None:
    pools = (Pool("encode", 1, 1, 0.5, 0, {}), Pool("generate", 1, 1, 0.5, 0, {}))
    setup = Setup("ray", 1, {"CPU": 1.0}, Allocation(pools, 0.25, ()))
    assert steady_wall_s(setup, {"encode": 50.0, "generate": 50.0}, 1e6) == pytest.approx(100)


def test_processes_do_whole_units() -> None:
    setup = Setup("processes", 2, {"CPU": 2.0}, Allocation((), 1.0, ()))
    # 60 s over two, and of a unit of 6 s a quarter: the other has nothing left to do
    assert steady_wall_s(setup, {"load": 20.0, "encode": 40.0}, 10) == pytest.approx(31.5)


@pytest.mark.parametrize(
    ("executor", "rows", "kind"),
    [("inline", 900, "inline"), ("process", 900, "process"), ("processes", 900, "processes"),
     ("ray", 3, "ray"), ("auto", 900, "ray")],
)  # fmt: skip
def test_what_would_run_it(executor: str, rows: int, kind: str) -> None:
    cpus = len(os.sched_getaffinity(0))
    setup = setup_of(job(executor=executor), rows, ())
    assert setup.kind == kind
    assert setup.resources["CPU"] == cpus


def test_pools_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="the pools need"):
        setup_of(job(generate={"num_cpus": 50}), 900, (), cpus=8)
