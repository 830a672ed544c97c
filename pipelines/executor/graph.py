"""The graph of stages as one Ray Data stream, and Ray itself started quietly."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data

from actors.batch.intermediate_store import Shelf
from actors.batch.stage_times import TIMES_COLUMN, times_from_json
from actors.batch.table import Stage
from actors.batch.unit import UnitSpec
from actors.stages.decode import Decoder
from actors.stages.encode import Encoder
from actors.stages.fault_boundary import Guard
from actors.stages.generate import Generator
from actors.stages.load import Loader
from actors.stages.write import Writer
from pipelines.config.job import JobConfig
from pipelines.config.settings import PoolName
from pipelines.executor.pool_sizing import Allotment, Pool
from pipelines.executor.private_ray import start_private_ray
from pipelines.executor.ray_settings import log_level, quiet
from pipelines.executor.stage_monitor import end_actors, expect_stages
from pipelines.executor.unit_blocks import unit_source
from pipelines.executor.worker_path import DriversPath
from pipelines.planning.span_policy import prompt_seconds, span_rule
from uniaudio2.checkpoint.native import model_fingerprint
from uniaudio2.config import ModelConfig

_BLOCKS_WAITING = 1
_WORKER_IDLE_MS = 600_000
# so that no slot waits for a tail of a unit, and no core or device for the next one to be laid out
_CALLS_AT_ONCE = 2
_TASK_RETRIES = 1
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@dataclass(frozen=True)
class Stages:
    """The callables of a run: plain objects for tasks, classes with arguments for pools.

    Attributes:
        load: first stage.
        write: last stage.
        pools: class and arguments of the stages between.
        timeout_s: longest call of any stage on one unit.
        shelf: OUTPUT, below which tokens are kept.
        shelved: stages whose result is kept for a later run.
    """

    load: Stage
    write: Stage
    pools: Mapping[PoolName, tuple[type[Stage], dict[str, Any]]]
    timeout_s: float
    shelf: str
    shelved: tuple[PoolName, ...] = ()


def make_stages(
    job: JobConfig, allotment: Allotment, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The real stages of a job.

    Args:
        job: the run.
        allotment: gives each actor its threads.
        schema: columns of the manifest that travel through.
        model: its recommendations and its fingerprint, for the results.
    """
    task = job.spec
    threads = {pool.name: pool.threads for pool in allotment.pools}
    known: dict[PoolName, tuple[type[Stage], dict[str, Any]]] = {
        "encode": (Encoder, {"batch": job.encode.pieces, "context": job.encode.padding}),
        "generate": (
            Generator,
            {
                "task": task,
                "sampling": job.sampling.for_task(task, model),
                "seed": job.seed,
                "instructions": job.instructions,
                "examples": job.worked_examples,
                "context": job.encode.padding,
                "slots": job.generate.batch,
            },
        ),
        "decode": (
            Decoder,
            {"seed": job.seed, "batch": job.decode.pieces, **dict(job.flow)},
        ),
    }
    pools = {
        name: (kind, {**arguments, "model": job.model, "threads": threads[name]})
        for name, (kind, arguments) in known.items()
        if name in threads
    }
    keep = job.keep == "tokens"
    writer = Writer(
        job.output, task, schema, model_fingerprint(model), job.seed, job.audio_format,
        job.audio_layout, keep,
    )  # fmt: skip
    rule, prompt_s = span_rule(job, model), prompt_seconds(job, model)
    loader = Loader(
        task, schema, job.max_duration_s, job.load.limits, rule, prompt_s, job.input_rules.allow
    )
    shelved = tuple(pool.name for pool in allotment.pools[:-1]) if keep else ()
    return Stages(loader, writer, pools, job.stage_timeout_s, job.output, shelved)


@contextmanager
def _stderr_held() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, and show it only if the block fails.

    Ray's C++ core writes its greetings there past every logger.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def start_ray(address: str | None, verbose: bool = False) -> None:
    """Start Ray for this process, or join the cluster at `address`; a started Ray is used as is.

    Without an address a private Ray is started, see `private_ray`: `ray.init` alone would join any
    that runs on this machine.

    Args:
        address: of a cluster.
        verbose: let Ray and its workers print what they have to say.
    """
    if not ray.is_initialized():
        with quiet(verbose), log_level(verbose), nullcontext() if verbose else _stderr_held():
            _init_ray(address, verbose)


def _init_ray(address: str | None, verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    if _SUBMITTED not in os.environ:  # of a job that was submitted, Ray itself has settled it
        options["job_config"] = DriversPath()
    if address is not None:
        ray.init(address=address, **options)  # a cluster keeps its own token
        return
    # a worker that waits for its next block for a second would be ended, and the next one would
    # spend seconds on imports
    start_private_ray(
        _system_config={"idle_worker_killing_time_threshold_ms": _WORKER_IDLE_MS}, **options
    )


class PoolActor:
    """One actor of a pool: builds its stage once, then guards every call of it."""

    def __init__(self, kind: type[Stage], arguments: dict[str, Any], guard: Guard) -> None:
        self.stage = kind(**arguments)
        self.guard = guard

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.guard.call(table, self.stage)


def _call(table: pa.Table, stage: Stage, guard: Guard) -> pa.Table:
    return guard.call(table, stage)


def _through_tasks(
    stream: ray.data.Dataset, stage: Stage, guard: Guard, num_cpus: float
) -> ray.data.Dataset:
    return stream.map_batches(
        _call,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"stage": stage, "guard": guard},
        num_cpus=num_cpus,
        max_retries=_TASK_RETRIES,
    )


def _through_pool(
    stream: ray.data.Dataset,
    pool: Pool,
    kind: type[Stage],
    arguments: dict[str, Any],
    guard: Guard,
    alone: bool,
) -> ray.data.Dataset:
    calls = 1 if alone else _CALLS_AT_ONCE
    return stream.map_batches(
        PoolActor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={"kind": kind, "arguments": arguments, "guard": guard},
        compute=ray.data.ActorPoolStrategy(
            min_size=pool.min_size,
            max_size=pool.max_size,
            max_tasks_in_flight_per_actor=1 if alone else calls + _BLOCKS_WAITING,
            max_concurrent_calls_per_actor=calls,
            enable_true_multi_threading=calls > 1,
        ),
        num_cpus=pool.num_cpus,
        num_gpus=pool.num_gpus or None,
        resources=pool.resources or None,
        max_restarts=-1,  # an actor that died comes back,
        max_task_retries=0,  # but its unit is tried again by the driver, a counted number of times
    )


def stream_units(
    units: list[UnitSpec], stages: Stages, allotment: Allotment, alone: bool = False
) -> Iterator[dict[str, Any]]:
    """Run units through all stages.

    A unit whose worker died is missing from what comes out; one whose stage raised comes out as
    ``{"unit", "row", "fault"}``.

    Args:
        units: whole units, or single rows of them.
        stages: the callables.
        allotment: sizes of the pools.
        alone: never queue a unit behind another, so that a dying actor takes one with it only.

    It is to be called, and iterated, within `own_data_context`.

    Yields:
        the writer's receipt of every unit that arrived, in no particular order.
    """
    expect_stages(("load", *(pool.name for pool in allotment.pools), "write"))
    shelves = {name: Shelf(stages.shelf, name) for name in stages.shelved}
    stream = unit_source(units)
    load, write = Guard("load", stages.timeout_s), Guard("write", stages.timeout_s)
    stream = _through_tasks(stream, stages.load, load, allotment.task_cpus)
    for pool in allotment.pools:
        kind, arguments = stages.pools[pool.name]
        guard = Guard(pool.name, stages.timeout_s, shelves.get(pool.name))
        stream = _through_pool(stream, pool, kind, arguments, guard, alone)
    stream = _through_tasks(stream, stages.write, write, allotment.task_cpus)
    try:
        for batch in stream.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=1
        ):
            yield from _receipts(batch)
    finally:
        expect_stages(())
        end_actors()


def _receipts(batch: pa.Table) -> Iterator[dict[str, Any]]:
    """What the last stage says of units, or what a fault left of them."""
    if "fault" in batch.column_names:
        yield from map(json.loads, batch.column("fault").to_pylist())
        return
    receipts, times = batch["receipt"].to_pylist(), batch[TIMES_COLUMN].to_pylist()
    for receipt, calls in zip(receipts, times, strict=True):
        yield {**json.loads(receipt), "stages": times_from_json(calls)}
