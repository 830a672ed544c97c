"""Units into a stream: one block each, without a CPU of their own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback

from actors.batch.unit import UnitSpec
from pipelines.executor import unit_blocks
from pipelines.executor.unit_blocks import UnitsAhead, unit_source


def slow(table: pa.Table) -> pa.Table:
    """A stage that takes its time."""
    time.sleep(0.005)
    return table


@ray.remote
class Holder:
    """Keeps CPUs from everyone else."""

    def ready(self) -> bool:
        return True


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(60)
def test_every_unit_is_a_block_though_others_hold_all_cpus() -> None:
    units = [UnitSpec(n, "", 2 * n, 2 * n + 2, "/x", f"f{n}", b"rows" * n) for n in range(40)]
    stream = unit_source(units)  # this needs a CPU for a moment; pools take theirs afterwards
    holder = Holder.options(num_cpus=ray.cluster_resources()["CPU"]).remote()  # type: ignore[attr-defined]
    ray.get(holder.ready.remote())
    try:
        blocks = list(stream.iter_batches(batch_size=None, batch_format="pyarrow"))
    finally:
        ray.kill(holder)
    assert [block.num_rows for block in blocks] == [1] * len(units)
    assert sorted((UnitSpec.from_table(b) for b in blocks), key=lambda u: u.unit) == units


def policy(waiting: int = 0, running: int = 0) -> tuple[UnitsAhead, Any, Any]:
    """The policy, and the operators of the source and of the loading stage."""
    source, load = (Operator(name, running) for name in ("StreamingRepartition[1]", "MapBatches"))
    state = SimpleNamespace(total_enqueued_input_blocks=lambda: waiting)
    topology = {Operator("Input", 0): None, source: None, load: state}
    return UnitsAhead(None, topology, None), source, load


@dataclass(frozen=True)
class Operator:
    name: str
    running: int

    def num_active_tasks(self) -> int:
        return self.running


@pytest.mark.parametrize(
    ("waiting", "running", "more"), [(10, 0, True), (10, 1, False), (1000, 0, False)]
)
def test_units_are_handed_out_only_a_little_ahead(waiting: int, running: int, more: bool) -> None:
    given, source, load = policy(waiting, running)
    assert given.can_add_input(source) is more
    assert given.can_add_input(load)


@pytest.mark.usefixtures("cluster")
def test_however_many_units_there_are_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_blocks, "_UNITS_AT_ONCE", 50)
    monkeypatch.setattr(unit_blocks, "_UNITS_AHEAD", 10)
    units = [UnitSpec(n, "", n, n + 1, "/x", f"f{n}") for n in range(160)]
    seen: list[tuple[int, ...]] = []

    class Looker(ExecutionCallback):  # type: ignore[misc] # ray ships no types
        def on_execution_step(self, executor: Any) -> None:
            states = list(executor._topology.items())
            if len(states) == 3:
                seen.append(
                    (states[1][0].num_active_tasks(), states[2][1].total_enqueued_input_blocks())
                )

    context = ray.data.DataContext.get_current()
    monkeypatch.setattr(context, "custom_execution_callback_classes", [Looker])
    stream = unit_source(units).map_batches(slow, batch_size=None, batch_format="pyarrow")
    blocks = list(stream.iter_batches(batch_size=None, batch_format="pyarrow"))
    assert sorted(UnitSpec.from_table(block).unit for block in blocks) == list(range(160))
    assert max(tasks for tasks, _ in seen) == 1
    assert 0 < max(waiting for _, waiting in seen) <= 60
