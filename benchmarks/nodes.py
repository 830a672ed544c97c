"""Rows a second by nodes: a stage that sleeps like a device, one a node, on one machine.

The pipeline, Ray and the commits are the real ones; nodes are processes of this machine that Ray
takes for machines, and OUTPUT is in an S3 server of this machine that counts what it is asked. A
device's time a unit is fixed, so what is lost is what the driver and Ray cost; the machine's own
cores work for all nodes at once.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actors.storage.object_store import Storage
from benchmarks.counting_store import BUCKET, KINDS, asked_of, counting_store
from benchmarks.driver import Answerer, text_manifest
from pipelines import JobConfig, run_job
from pipelines.executor.ray_executor import RayExecutor
from pipelines.executor.stages import Stages, make_stages
from pipelines.planning.pool_sizing import Allocation
from pipelines.run_state.commit_log import CommitLog
from uniaudio2.config import ModelConfig

_NODES, _QUICK_NODES = (1, 2, 4, 8), (1, 2)
_UNIT_ROWS, _UNITS_A_NODE = 128, 24
_DEVICE_S = 2.0
_NODE_CPUS = 2
_STEADY = (0.15, 0.85)  # of the units: neither the start of the pools nor the end counts


class Sleeper(Answerer):
    """A device that one call at a time may use, for a fixed time."""

    def __init__(self, **_: Any) -> None:
        self._device = threading.Lock()

    def __call__(self, table: pa.Table) -> pa.Table:
        with self._device:
            time.sleep(_DEVICE_S)
        return super().__call__(table)


def sleeping_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The real stages, but for the language model."""
    stages = make_stages(job, allocation, schema, model)
    return replace(stages, pools={"generate": (Sleeper, {})})


def _rate(output: str) -> float:
    """Rows a second while all devices worked, by when their calls ended."""
    calls = [call for one in CommitLog(Storage(output)).each_commit() for call in one.stages]
    ends = np.sort([call.end for call in calls if call.stage == "generate"])
    first, last = (int(share * len(ends)) for share in _STEADY)
    return float((last - first) * _UNIT_ROWS / (ends[last] - ends[first]))


def _child(nodes: int, folder: str, answers: Any) -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=_NODE_CPUS, resources={"device": 1})
        rows = nodes * _UNITS_A_NODE * _UNIT_ROWS
        pool = {"min_size": nodes, "max_size": nodes, "num_cpus": 0.5, "resources": {"device": 1}}
        job = JobConfig(
            task="text_only", model="tiny", input=str(text_manifest(Path(folder), rows)),
            output=f"s3://{BUCKET}/out{nodes}", unit_rows=_UNIT_ROWS, generate=pool,
            address=cluster.address,
        )  # fmt: skip
        executor = RayExecutor(cluster.address)
        result = run_job(job, make=sleeping_stages, executor=executor)
        if result.counts.ok != rows:
            raise RuntimeError(f"{result.counts.ok} of {rows} rows succeeded")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answers.send((_rate(job.output), usage.ru_utime + usage.ru_stime, rows))
    finally:
        ray.shutdown()
        cluster.shutdown()


def run(quick: bool) -> Mapping[str, float]:
    """Measure and print; returns the figures by name."""
    figures: dict[str, float] = {}
    context = multiprocessing.get_context("spawn")
    print(
        f"{'nodes':>5}  {'rows/s':>8}  {'of the devices':>14}  {'driver s':>8}  {'rows':>6}  store"
    )
    for nodes in _QUICK_NODES if quick else _NODES:
        with tempfile.TemporaryDirectory() as folder, counting_store() as address:
            answers, there = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(nodes, folder, there))
            process.start()
            there.close()
            rate, driver_s, rows = answers.recv()
            process.join()
            asked = asked_of(address)
        share = rate / (nodes * _UNIT_ROWS / _DEVICE_S)
        units = rows // _UNIT_ROWS
        figures[f"nodes.rows_per_s_{nodes}"] = rate
        figures[f"nodes.device_share_{nodes}"] = share
        figures[f"nodes.driver_s_{nodes}"] = driver_s
        figures[f"nodes.puts_per_unit_{nodes}"] = asked["PUT"] / units
        figures[f"nodes.requests_per_unit_{nodes}"] = sum(asked[kind] for kind in KINDS) / units
        figures[f"nodes.records_{nodes}"] = asked["records"]
        counts = ", ".join(f"{asked[kind]} {kind}" for kind in (*KINDS, "records"))
        print(
            f"{nodes:>5}  {rate:>8.1f}  {share:>14.3f}  {driver_s:>8.1f}  {rows:>6}  {counts}",
            flush=True,
        )
    first, last = min(_NODES), max(_QUICK_NODES if quick else _NODES)
    growth = figures[f"nodes.rows_per_s_{last}"] / figures[f"nodes.rows_per_s_{first}"] / last
    # what a unit more costs the driver, without what every run costs it
    units = (last - first) * _UNITS_A_NODE
    unit_s = (figures[f"nodes.driver_s_{last}"] - figures[f"nodes.driver_s_{first}"]) / units
    return figures | {"nodes.growth": growth, "nodes.driver_ms_per_unit": 1e3 * unit_s}
