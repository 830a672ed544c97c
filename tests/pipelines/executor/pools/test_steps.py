"""Pools as Ray Data takes them: also those that ask for a part of a GPU, which Ray only counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray.data

from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.executor.pools.steps import through_pool
from pipelines.planning.pool_sizing import Pool

ROOT = Path(__file__).parents[4]
_RUN = """
import sys
import ray
from pipelines import JobConfig, run_job
from pipelines.config.make_job import make_job
ray.init(num_cpus=8, num_gpus=1, include_dashboard=False, log_to_driver=False)
run_job(make_job({"task": "reconstruct", "model": "tiny", "unit_rows": 2, "input": sys.argv[1],
                  "output": sys.argv[2]}, "configs/one-gpu-replicas.yaml"), style="quiet")
"""


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("gpus", [0.0, 0.2, 1.0])
def test_a_pool_may_ask_for_gpus_and_keeps_units_whole(gpus: float) -> None:
    stream = ray.data.from_items([{"id": 1}, {"id": 2}])
    made = through_pool(stream, Pool("encode", 1, 2, 1.0, gpus, {}), {}, False, None)
    step = made._logical_plan.dag
    assert step.batch_size is None  # a block is a unit
    assert step.ray_remote_args.get("num_gpus", 0.0) == gpus


@pytest.mark.nightly
@pytest.mark.ray
def test_several_actors_share_one_gpu_that_ray_counts(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _RUN, str(EXAMPLES / "speech.jsonl"), str(tmp_path)]
    ended = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(read_results(str(tmp_path))) == 6
    setup = json.loads((tmp_path / "run.json").read_text())["setup"]
    assert setup["gpus"] == 1
    assert [(one["name"], one["min_size"], one["num_gpus"]) for one in setup["pools"]] == [
        ("encode", 2, 0.2), ("decode", 2, 0.2),
    ]  # fmt: skip
