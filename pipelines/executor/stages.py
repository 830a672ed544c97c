"""The stages of a job: plain callables, and what each reads and writes of the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actors.batch.intermediate_store import IntermediateStore
from actors.batch.schema import StageColumns, check_stages
from actors.batch.table import Stage
from actors.inputs.channels import with_channels
from actors.speech.voices import VoiceDraw
from actors.stages.fault_boundary import FaultBoundary
from actors.stages.load import Loader
from actors.stages.pools import (
    DECODER,
    ENCODER,
    GENERATOR,
    SCORER,
    MakeStage,
    decoder_columns,
    encoder_columns,
    generator_columns,
    scorer_columns,
)
from actors.stages.write import Writer
from actors.verify.sifting import Verifying
from pipelines.config.job import JobConfig
from pipelines.config.scored import transcribes
from pipelines.config.settings import PoolName
from pipelines.errors import UsageError
from pipelines.planning.pool_sizing import Allocation
from pipelines.planning.span_policy import passage_rule, prompt_seconds, span_rule, transcript_rule
from uniaudio2.checkpoint.folders import model_fingerprint
from uniaudio2.config import ModelConfig
from uniaudio2.scores.table import compares, counts_tokens
from uniaudio2.tasks.spec import AUDIO, TaskSpec

_TOKEN_STAGES = ("encode", "generate")


@dataclass(frozen=True)
class Stages:
    """The callables of a run: plain objects for tasks, what makes them for pools.

    Attributes:
        load: first stage.
        write: last stage.
        pools: what makes the stages between, and its arguments.
        timeout_s: longest call of any stage on one unit.
        output: OUTPUT, below which tokens are kept.
        kept_stages: stages whose result is kept for a later run.
        columns: what each stage states of the table; results are held against it.
    """

    load: Stage
    write: Stage
    pools: Mapping[PoolName, tuple[MakeStage, dict[str, Any]]]
    timeout_s: float
    output: str
    kept_stages: tuple[PoolName, ...] = ()
    columns: Mapping[str, StageColumns] = field(default_factory=dict)

    def boundary(self, name: str) -> FaultBoundary:
        """What surrounds the calls of one of them."""
        store = IntermediateStore(self.output, name) if name in self.kept_stages else None
        return FaultBoundary(name, self.timeout_s, store, self.columns.get(name))


def stage_columns(
    task: TaskSpec, idle: Collection[str] = (), keep_codes: bool = False
) -> dict[str, StageColumns]:
    """What each stage of a task states, in the order in which a unit goes through them.

    Args:
        task: decides the stages.
        idle: stages that no row of the manifest needs.
        keep_codes: the codes of a task that yields text are results, too.
    """
    known = {
        "load": Loader.columns,
        "encode": encoder_columns,
        "generate": generator_columns,
        "decode": decoder_columns,
        "score": scorer_columns,
    }
    columns: dict[str, StageColumns] = {
        name: of_task(task)
        for name, of_task in known.items()
        if name in task.stages and name not in idle
    }
    return {**columns, "write": Writer.columns(task, keep_codes)}


def check_columns(job: JobConfig, idle: Collection[str] = ()) -> None:
    """Follow the columns of a job's table through its stages, before anything is started.

    Raises:
        UsageError: a stage reads what none before it writes.
    """
    try:
        check_stages(stage_columns(job.spec, idle, job.keep == "tokens"))
    except ValueError as fault:
        raise UsageError(f"task {job.spec.name}: {fault}") from fault


def provenance(job: JobConfig, model: ModelConfig) -> str:
    """What results say that they were made by: the model, and precisions that are not exact."""
    words = (f"{stage}={precision}" for stage, precision in job.precisions.items())
    return " ".join([model_fingerprint(model), *words])


def verifying(job: JobConfig) -> Verifying | None:
    """What a job asks of its results; None where it takes them all."""
    asked = job.verify
    if asked.rule is None:
        return None
    return Verifying(asked.rule, asked.attempts, asked.best, asked.unverified)


def make_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The real stages of a job.

    Args:
        job: the run.
        allocation: gives each actor its threads.
        schema: columns of the manifest that travel through.
        model: its recommendations and its fingerprint, for the results.
    """
    task, channel = job.spec, job.audio.taken
    if channel is not None and AUDIO in task.columns:
        schema = with_channels(schema)
    pools = make_pools(job, allocation, model)
    keep = job.keep == "tokens"
    writer = Writer(
        job.output, task, schema, provenance(job, model), job.seed, job.audio_format,
        job.audio_layout, keep, verifying(job),
    )  # fmt: skip
    rule, prompt_s = span_rule(job, model), prompt_seconds(job, model)
    loader = Loader(
        task, schema, job.max_duration_s, job.load.limits, rule, prompt_s, job.input_rules.allow,
        channel, VoiceDraw(job.voices.names, job.seed) if job.voices else None,
    )  # fmt: skip
    # tokens are small; waves, which later stages add, are not
    kept = [pool.name for pool in allocation.pools[:-1] if pool.name in _TOKEN_STAGES]
    kept_stages = tuple(kept) if keep else ()
    idle = set(task.stages) - set(pools) - {"load"}
    columns = stage_columns(task, idle, keep)
    return Stages(loader, writer, pools, job.stage_timeout_s, job.output, kept_stages, columns)


def make_pools(
    job: JobConfig, allocation: Allocation, model: ModelConfig
) -> dict[PoolName, tuple[MakeStage, dict[str, Any]]]:
    """Class and arguments of each pool of an allocation; see `make_stages`."""
    threads = {pool.name: pool.threads for pool in allocation.pools}
    return {
        name: (kind, {**arguments, "model": job.model, "threads": threads[name]})
        for name, (kind, arguments) in _pools(job, model).items()
        if name in threads
    }


def _voices(job: JobConfig) -> dict[str, Any]:
    """What stages need of a job's voices, if it has any."""
    return {"voices": job.voices} if job.voices else {}


def _pools(job: JobConfig, model: ModelConfig) -> dict[PoolName, tuple[MakeStage, dict[str, Any]]]:
    """Class and arguments of the stages that an actor pool runs."""
    return {
        "encode": (
            ENCODER,
            {
                "batch": job.encode.batch_size,
                "padding": job.encode.padding,
                "precision": job.encode.precision,
                **({"keep_waves": True} if compares(job.spec.scorers) else {}),
                "levels": job.spec.times != "none",
                **_voices(job),
            },
        ),
        "generate": (
            GENERATOR,
            {
                "task": job.spec,
                "sampling": job.sampling.for_task(job.spec, model).model_copy(
                    update={"logprobs": counts_tokens(job.spec.scorers)}
                ),
                "seed": job.seed,
                "instructions": job.instructions,
                "examples": job.few_shot_examples,
                "padding": job.encode.padding,
                "slots": job.generate.batch,
                "passages": passage_rule(job, model),
            },
        ),
        "decode": (
            DECODER,
            {
                "seed": job.seed,
                "batch": job.decode.batch_size,
                "precision": job.decode.precision,
                **dict(job.flow),
            },
        ),
        "score": (
            SCORER,
            {
                "task": job.spec,
                "rule": transcript_rule(job, model) if transcribes(job.spec) else None,
                "slots": job.score.batch,
                **(_voices(job) if compares(job.spec.scorers) else {}),
            },
        ),
    }
