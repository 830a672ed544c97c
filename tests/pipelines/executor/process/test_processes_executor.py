"""Several workers without Ray: every unit once, and one that ends a process costs that unit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.receipt import Fault, Receipt
from actors.batch.unit import UnitSpec, to_stream
from pipelines import run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.config.job import JobConfig
from pipelines.errors import RunFailed
from pipelines.executor.process import processes_executor
from pipelines.executor.process.executor_choice import choosing
from pipelines.executor.process.processes_executor import ProcessesExecutor, worker_count
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation, Pool
from tests.pipelines.jobs.test_faults import job
from tests.support.process_stages import Load, Unbuilt, Write

ROWS = to_stream(pa.table({"id": ["a"]}))
NO_POOLS = Allocation((), 1.0, ())


@pytest.fixture
def two() -> Iterator[ProcessesExecutor]:
    executor = ProcessesExecutor(2)
    yield executor
    executor.close()


def named(*numbers: int) -> list[UnitSpec]:
    return [UnitSpec(number, "", 0, 1, "", "f", ROWS) for number in numbers]


def test_every_unit_comes_once_but_the_one_that_ends_its_process(two: ProcessesExecutor) -> None:
    stages, asked = Stages(Load(), Write(), {}, 60, ""), named(0, 1, 2, *range(4, 12))
    outcomes = list(two.stream(asked, stages, NO_POOLS))
    receipts = [one for one in outcomes if isinstance(one, Receipt)]
    assert sorted(one.unit for one in receipts) == [0, *range(4, 12)]
    assert [one for one in outcomes if isinstance(one, Fault)] == [
        Fault(1, None, "fault", "write: RuntimeError: no")
    ]
    assert os.getpid() not in {one.ok for one in receipts}
    # who stops listening waits for no unit
    stream = two.stream(named(0, 3, 3), stages, NO_POOLS)
    assert isinstance(next(stream), Receipt)
    workers = [hand._worker for hand in two._hands if hand._worker]
    stream.close()  # type: ignore[attr-defined] # a generator
    assert all(worker.process.poll() is not None for worker in workers)


def test_a_stage_that_cannot_be_built_ends_the_run(two: ProcessesExecutor) -> None:
    stages = Stages(Load(), Write(), {"encode": (Unbuilt, {})}, 60, "")  # type: ignore[dict-item]
    allocation = Allocation((Pool("encode", 2, 2, 1.0, 0.0, {}),), 1.0, ())
    with pytest.raises(RunFailed, match="encode: ValueError: no such model"):
        list(two.stream(named(0, 4, 5), stages, allocation))


@pytest.mark.nightly
def test_the_results_are_those_of_one_process(tmp_path: Path) -> None:
    rows = {}
    for executor in ("processes", "inline"):
        run_job(job(tmp_path / executor, limit=4, executor=executor))
        found = [{**row, "audio_path": None} for row in read_results(str(tmp_path / executor))]
        rows[executor] = sorted(found, key=lambda row: str(row["id"]))
    assert len(rows["inline"]) == 4
    assert rows["processes"] == rows["inline"]


def test_memory_decides_how_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = JobConfig(task="asr", input=str(EXAMPLES / "speech.jsonl"), output=str(tmp_path / "o"),
                      executor="processes")  # fmt: skip
    cpus = len(os.sched_getaffinity(0))
    for free, count in ((1 << 50, cpus), (1 << 20, 1)):
        monkeypatch.setattr(processes_executor, "free_memory", lambda free=free: free)
        assert worker_count(asked) == count
    monkeypatch.setattr(processes_executor, "free_memory", lambda: 1 << 50)
    assert worker_count(asked.model_copy(update={"model": "s3://b/m"})) == 1
    with choosing(asked) as choice:
        assert isinstance(choice.of(None), ProcessesExecutor)
    pools = ProcessesExecutor(2).allocate(asked).pools
    assert [(pool.name, pool.max_size, pool.threads) for pool in pools] == [
        (name, 2, max(1, cpus // 2)) for name in ("encode", "generate")
    ]
