"""A run of a few rows in one process beside the driver: the same results, the same safety."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.receipt import Fault, Receipt
from actors.batch.unit import UnitSpec, to_stream
from pipelines import run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.errors import RunFailed
from pipelines.executor.process.process_executor import ProcessExecutor
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation, Pool
from tests.pipelines.jobs.test_faults import job
from tests.support.process_stages import Load, Unbuilt, Write

_ASK = """
import json, sys
from pipelines.cli.commands import app
code = app(sys.argv[1:], standalone_mode=False)
loaded = sorted(name for name in sys.modules if name == "ray" or name.startswith("ray."))
print(json.dumps([code, loaded]))
"""


def units(count: int) -> list[UnitSpec]:
    rows = to_stream(pa.table({"id": ["a"]}))
    return [UnitSpec(number, "", 0, 1, "", "f", rows) for number in range(count)]


def test_a_unit_that_ends_its_process_is_missing_and_the_others_come() -> None:
    executor = ProcessExecutor()
    try:
        asked = [one for one in units(5) if one.unit != 3]
        stages = Stages(Load(), Write(), {}, 60, "")
        outcomes = list(executor.stream(asked, stages, Allocation((), 1.0, ())))
    finally:
        executor.close()
    first, failed, last = outcomes
    assert isinstance(first, Receipt)
    assert isinstance(last, Receipt)
    assert (first.unit, last.unit) == (0, 4)
    assert failed == Fault(1, None, "fault", "write: RuntimeError: no")
    assert os.getpid() != first.ok != last.ok  # another process went on


def test_a_stage_that_cannot_be_built_ends_the_run() -> None:
    executor = ProcessExecutor()
    stages = Stages(Load(), Write(), {"encode": (Unbuilt, {})}, 60, "")  # type: ignore[dict-item]
    allocation = Allocation((Pool("encode", 1, 1, 1.0, 0.0, {}),), 1.0, ())
    try:
        with pytest.raises(RunFailed, match="encode: ValueError: no such model"):
            list(executor.stream(units(1), stages, allocation))
    finally:
        executor.close()


def test_the_results_are_those_of_one_process(tmp_path: Path) -> None:
    rows = {}
    for executor in ("process", "inline"):
        run_job(job(tmp_path / executor, limit=1, executor=executor))
        rows[executor] = [
            {**row, "audio_path": None} for row in read_results(str(tmp_path / executor))
        ]
    assert rows["process"] == rows["inline"]


def test_a_few_rows_start_no_ray(tmp_path: Path) -> None:
    command = [
        "run", "tokenize", str(EXAMPLES / "speech.jsonl"), str(tmp_path / "out"), "--model", "tiny",
        "--limit", "2", "--json",
    ]  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-c", _ASK, *command], capture_output=True, text=True, check=True,
        timeout=300, cwd=Path(__file__).parents[4],
    )  # fmt: skip
    assert json.loads(ran.stdout.splitlines()[-1]) == [0, []]
    assert len(read_results(str(tmp_path / "out"))) == 2


def fail() -> None:
    raise ValueError("no")


def end_unless(pid: int) -> str:
    if os.getpid() != pid:
        os._exit(1)
    return "made here"


def test_a_call_is_made_by_the_worker_or_where_it_dies_here() -> None:
    executor = ProcessExecutor()
    assert executor.submit(os.getpid).result() == os.getpid()  # none was started
    executor.start()
    try:
        there = executor.submit(os.getpid)
        assert there.is_done()
        assert there.result() not in (os.getpid(), executor.submit(os.getppid).result())
        with pytest.raises(ValueError, match="no"):
            executor.submit(fail).result()
        assert executor.submit(end_unless, os.getpid()).result() == "made here"
    finally:
        executor.close()
