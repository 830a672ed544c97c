"""A job without Ray: the same results, in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.receipt import Fault, Receipt
from actors.batch.unit import UnitSpec, to_stream
from pipelines import UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.config.make_job import make_job
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation
from tests.pipelines.jobs.test_faults import job

NO_RAY = """
import json, sys
from pipelines.cli.commands import app
code = app(sys.argv[1:], standalone_mode=False)
loaded = sorted(name for name in sys.modules if name == "ray" or name.startswith("ray."))
print(json.dumps([code, loaded]))
"""


def test_a_job_runs_without_ray_by_its_option(tmp_path: Path) -> None:
    command = [
        "run", "tokenize", str(EXAMPLES / "speech.jsonl"), str(tmp_path / "out"), "--model", "tiny",
        "--limit", "2", "--executor", "inline", "--quiet",
    ]  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-c", NO_RAY, *command], capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout.splitlines()[-1]) == [0, []]
    assert len(read_results(str(tmp_path / "out"))) == 2


@pytest.mark.usefixtures("cluster")
def test_the_results_are_those_of_ray(tmp_path: Path) -> None:
    rows = {}
    for executor in ("ray", "inline"):
        run_job(job(tmp_path / executor, limit=3, executor=executor))
        rows[executor] = [
            {**row, "audio_path": None} for row in read_results(str(tmp_path / executor))
        ]
    assert rows["inline"] == rows["ray"]


def test_it_cannot_join_a_cluster() -> None:
    given = {"task": "asr", "input": "i", "output": "o", "address": "auto", "executor": "inline"}
    with pytest.raises(UsageError, match="executor 'inline' runs in this process and address"):
        make_job(given)
    with pytest.raises(UsageError, match="executor"):
        make_job({**given, "executor": "dask", "address": None})


def test_every_unit_comes_to_a_receipt_or_a_fault() -> None:
    def load(table: pa.Table) -> pa.Table:
        return table

    def write(table: pa.Table) -> pa.Table:
        unit = UnitSpec.from_table(table).unit
        if unit == 1:
            raise RuntimeError("no")
        return Receipt(unit, 1, 0, {}, {}).to_table()

    rows = to_stream(pa.table({"id": ["a"]}))
    units = [UnitSpec(number, "", 0, 1, "", "f", rows) for number in range(3)]
    stages, allocation = Stages(load, write, {}, 60, ""), Allocation((), 1.0, ())
    first, failed, last = InlineExecutor().stream(units, stages, allocation)
    assert isinstance(first, Receipt)
    assert isinstance(last, Receipt)
    assert (first.unit, last.unit) == (0, 2)
    assert [call.stage for call in first.stages] == ["load", "write"]
    assert failed == Fault(1, None, "fault", "write: RuntimeError: no")


def test_sizes_for_a_cluster_do_not_keep_a_job_from_a_debugger(tmp_path: Path) -> None:
    pool = {"min_size": 8, "num_gpus": 4, "resources": {"big": 1}}
    asked = job(tmp_path, limit=1, executor="inline", encode=pool, decode=pool)
    allocation = InlineExecutor().allocate(asked)
    assert [(pool.name, pool.max_size) for pool in allocation.pools] == [
        ("encode", 1), ("decode", 1),
    ]  # fmt: skip
    assert allocation.notes == ()
    assert run_job(asked).counts.ok == 1
