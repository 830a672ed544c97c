"""Pools of a real stream."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from actors.batch.receipt import Receipt
from actors.batch.unit import UnitSpec
from actors.stages.merge import PartChanged
from pipelines.causes import NODE
from pipelines.errors import RunFailed
from pipelines.executor import unit_blocks
from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.executor.nodes.roster import Roster
from pipelines.executor.pools.steps import BLOCKS_WAITING, CALLS_AT_ONCE
from pipelines.executor.ray_executor import RayExecutor
from pipelines.executor.ray_internals import leave_out
from pipelines.executor.ray_settings import own_data_context
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation, Pool
from pipelines.planning.units.feed import UnitFeed

ACTORS, UNITS = 3, 12
LONGEST_S = 60.0


def load(table: pa.Table) -> pa.Table:
    return pa.table({"unit": [UnitSpec.from_table(table).unit]})


class Meeting:
    """Says that its process is there, and waits for the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, table: pa.Table) -> pa.Table:
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + LONGEST_S
        while len(list(self.folder.iterdir())) < ACTORS and time.monotonic() < deadline:
            time.sleep(0.1)
        return table


def write(table: pa.Table) -> pa.Table:
    return Receipt(table["unit"][0].as_py(), ok=1, errors=0, files={}, kinds={}).to_table()


def test_actors_can_be_as_full_as_it_takes_for_their_pool_to_grow() -> None:
    with own_data_context(60.0) as context:
        full = (CALLS_AT_ONCE + BLOCKS_WAITING) / CALLS_AT_ONCE
        assert full >= context.autoscaling_config.actor_pool_util_upscaling_threshold


@pytest.mark.usefixtures("cluster")
def test_a_pool_grows_while_units_wait_for_it(tmp_path: Path) -> None:
    """By Ray's own measure pools of actors with two calls at once are never full."""
    units = [UnitSpec(number, "", 0, 1, "", "f", b"x") for number in range(UNITS)]
    pool = Pool("encode", min_size=1, max_size=ACTORS, num_cpus=0.1, num_gpus=0.0, resources={})
    stages = Stages(load, write, {"encode": (Meeting, {"folder": tmp_path})}, 300.0, "/nowhere")
    executor = RayExecutor()
    executor.start()
    with executor.session(300.0):
        outcomes = list(executor.stream(units, stages, Allocation((pool,), 0.1, ())))
    assert len(outcomes) == UNITS
    assert len(list(tmp_path.iterdir())) == ACTORS


@dataclass
class OneActor:
    """Says in which process it is."""

    folder: Path

    def __call__(self, table: pa.Table) -> pa.Table:
        (self.folder / str(os.getpid())).touch()
        if table["unit"][0].as_py() == LOST:
            os._exit(9)
        return table


LOST = 77


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("lost", [False, True])
def test_units_that_follow_from_others_ride_in_the_same_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """One actor does those that were planned and what is added; where a unit is lost, the stream
    ends all the same."""
    monkeypatch.setattr(unit_blocks, "_LOST_AFTER_S", 1.0)
    feed = UnitFeed([UnitSpec(number, "", 0, 1, "", "f", b"x") for number in range(5)])
    pool = Pool("encode", min_size=1, max_size=1, num_cpus=0.1, num_gpus=0.0, resources={})
    stages = Stages(load, write, {"encode": (OneActor, {"folder": tmp_path})}, 300.0, "/nowhere")
    executor = RayExecutor()
    executor.start()
    found = []
    with executor.session(300.0):
        for outcome in executor.stream(feed, stages, Allocation((pool,), 0.1, ())):
            found.append(outcome.unit)
            if outcome.unit in (0, 10, 20):  # each from the one before
                feed.add([UnitSpec(outcome.unit + 10, "", 0, 1, "", "f", b"x")])
            if lost and outcome.unit == 30:
                feed.add([UnitSpec(LOST, "", 0, 1, "", "f", b"x")])
    assert sorted(found) == [0, 1, 2, 3, 4, 10, 20, 30]
    assert lost or len(list(tmp_path.iterdir())) == 1


@dataclass
class LoadSecond:
    """Loads the second unit when the first is written."""

    folder: Path

    def __call__(self, table: pa.Table) -> pa.Table:
        loaded = load(table)
        deadline = time.monotonic() + LONGEST_S
        while loaded["unit"][0].as_py() and not (self.folder / "0").exists():
            if time.monotonic() > deadline:
                raise TimeoutError("the first unit was not written")
            time.sleep(0.1)
        return loaded


class Passing:
    def __call__(self, table: pa.Table) -> pa.Table:
        return table


@dataclass
class WriteMark:
    folder: Path

    def __call__(self, table: pa.Table) -> pa.Table:
        (self.folder / str(table["unit"][0].as_py())).touch()
        return write(table)


@pytest.mark.usefixtures("cluster")
def test_a_unit_is_written_while_others_are_still_loaded(tmp_path: Path) -> None:
    """With Ray's own reserve a pool of three quarters of the CPUs leaves none for writing."""
    units = [UnitSpec(number, "", 0, 1, "", "f", b"x") for number in range(2)]
    cpus = ray.cluster_resources()["CPU"]
    pool = Pool("encode", min_size=1, max_size=1, num_cpus=cpus * 0.75, num_gpus=0.0, resources={})
    stages = Stages(
        LoadSecond(tmp_path), WriteMark(tmp_path), {"encode": (Passing, {})}, 300.0, "/nowhere"
    )
    executor = RayExecutor()
    executor.start()
    with executor.session(300.0):
        outcomes = list(executor.stream(units, stages, Allocation((pool,), cpus / 8, ())))
    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt], outcomes


@pytest.mark.usefixtures("cluster")
def test_a_run_ends_where_the_last_node_does_not_fit(tmp_path: Path) -> None:
    """What a worker finds of its node counts, whatever was found before; no row is to blame."""
    units = [UnitSpec(number, "", 0, 1, "", "f", b"x") for number in range(3)]
    (tmp_path / "out/_log").mkdir(parents=True)
    source = tmp_path / "in"
    source.write_text("as it is here")
    pool = Pool("encode", min_size=1, max_size=1, num_cpus=0.1, num_gpus=0.0, resources={})
    stages = Stages(load, write, {"encode": (Passing, {})}, 300.0, "/nowhere")
    executor = RayExecutor()
    executor.start()
    executor._roster = Roster(Needs(str(tmp_path / "out"), (str(source),)), frozenset(), leave_out)
    with executor.session(300.0):
        source.write_text("there")
        with pytest.raises(RunFailed, match=r"^a node: INPUT '.*' is not on node ") as ended:
            list(executor.stream(units, stages, Allocation((pool,), 0.1, ())))
        assert len(executor.joined().warnings) == 1
    assert ended.value.cause == NODE


@pytest.mark.usefixtures("cluster")
def test_a_later_portion_of_a_run_asks_the_nodes_that_fitted_before(tmp_path: Path) -> None:
    (tmp_path / "_log").mkdir()
    executor = RayExecutor("auto")
    executor.start()
    [node] = executor.probe(Needs(str(tmp_path))).nodes
    executor._roster = Roster(Needs(str(tmp_path)), frozenset(), leave_out, {node["id"]: "unfit"})
    assert executor.probe(Needs(str(tmp_path))).nodes == ()  # as it would be refused now
    assert executor._roster is not None
    with executor.session(300.0):
        assert executor._roster.placement()["label_selector"] == {
            "ray.io/node-id": f"!in({node['id']})"
        }
        assert executor.joined() == Probed()


def where(number: int) -> int:
    if number < 0:
        raise PartChanged(f"{number} is below zero")
    return os.getpid()


def dies() -> None:
    os._exit(1)


@pytest.mark.usefixtures("cluster")
def test_a_call_beside_the_stages_returns_or_raises_what_it_does_elsewhere() -> None:
    executor = RayExecutor()
    executor.start()
    with executor.session(300.0):
        made = executor.submit(where, 1)
        assert made.result() != os.getpid()
        assert made.is_done()
        with pytest.raises(PartChanged, match="-1 is below zero"):
            executor.submit(where, -1).result()
        with pytest.raises(RunFailed, match="Ray: "):
            executor.submit(dies).result()
