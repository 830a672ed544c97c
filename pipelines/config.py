"""`JobConfig`: everything that a run may be told, frozen and closed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from actors.fetch import MAX_BYTES
from pipelines.errors import UsageError
from uniaudio2.audio import MAX_DURATION_S
from uniaudio2.checkpoint.native import DEFAULT_MODEL
from uniaudio2.config import ModelConfig
from uniaudio2.frozen import Frozen
from uniaudio2.lm.sampling import Sampling
from uniaudio2.tasks import TaskSpec, get_task

SHARE_FROM_ROWS = 100


class PoolConfig(Frozen):
    """An actor pool of one stage.

    Attributes:
        min_size: actors that are started at once and kept.
        max_size: actors that the pool may grow to; None lets the cluster's size decide.
        num_cpus: CPUs of an actor; None takes a fair share of what there is.
        num_gpus: GPUs of an actor; None takes one, or a share of one, when the cluster has any.
        resources: custom Ray resources of an actor.
        batch: rows, segments or windows that go through the model at once.
    """

    min_size: int = Field(1, ge=1)
    max_size: int | None = Field(None, ge=1)
    num_cpus: float | None = Field(None, ge=0)
    num_gpus: float | None = Field(None, ge=0)
    resources: dict[str, float] = {}
    batch: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> PoolConfig:
        if self.max_size is not None and self.max_size < self.min_size:
            raise ValueError(
                f"max_size {self.max_size} is below min_size {self.min_size}; raise it"
            )
        return self


class LoadConfig(Frozen):
    """Reading and decoding input audio."""

    num_cpus: float | None = Field(None, gt=0)
    max_duration_s: float = Field(MAX_DURATION_S, gt=0)
    max_bytes: int = Field(MAX_BYTES, gt=0)


class FlowOptions(Frozen):
    """How codes become audio; None takes the model's own number."""

    steps: int | None = Field(None, gt=0)
    guidance: float | None = Field(None, ge=1.0)
    compat: bool = False


class SamplingOptions(Frozen):
    """How tokens are chosen; None takes what the task and the model recommend.

    `top_k` 0 keeps every id.
    """

    greedy: bool | None = None
    temperature: float | None = Field(None, gt=0)
    top_k: int | None = Field(None, ge=0)
    guidance: float | None = Field(None, ge=1.0)
    max_frames: int | None = Field(None, gt=0)

    def for_task(self, task: TaskSpec, model: ModelConfig) -> Sampling:
        """The language model's sampling settings for a task."""
        asked = self.model_dump(exclude_none=True)
        if asked.get("top_k") == 0:
            asked["top_k"] = None
        return Sampling(**Sampling.of_model(model, task).model_dump() | asked)


class JobConfig(Frozen):
    """One run: a task over an input into an output.

    Frozen and closed: a key that does not exist is refused, and the nearest one is named.

    Attributes:
        task: name of a task; `uniaudio2 tasks` lists them.
        input: manifest, folder or glob; a local path or a URL such as ``s3://bucket/key``.
        output: folder for the results; a local path or a URL. It holds all state of the run.
        model: name of a bundled model, or a model folder.
        seed: seed of the job; with a row's id it decides every random draw of that row.
        instruction: replaces the task's own prompt.
        audio_format: of generated audio.
        audio_layout: a file a row, or one tar a unit.
        address: Ray cluster to join; None starts Ray on this machine for the run.
        load: how input audio is read.
        encode: actor pool of the codec's encoders.
        generate: actor pool of the language model.
        decode: actor pool of the flow decoder.
        flow: how codes become audio.
        sampling: how tokens are chosen.
        unit_rows: rows that are committed together; None chooses by the size of the manifest.
        limit: use the first rows alone.
        max_attempts: how often a unit is tried before its rows are tried one by one.
        max_errors: stop when more rows than this have failed; a number, or a share such as
            ``"5%"`` of the rows done (judged from 100 rows on).
        stage_timeout_s: a stage's call on one unit that takes longer is ended and tried again.
        keep: ``tokens`` keeps what each stage made of a unit until the run ends, so that a stop
            repeats no earlier stage, and writes the codes of tasks that yield text.
    """

    task: str
    input: str
    output: str
    model: str = DEFAULT_MODEL
    seed: int = 0
    instruction: str | None = None
    limit: int | None = Field(None, ge=1)
    unit_rows: int | None = Field(None, ge=1, le=4096)
    audio_format: Literal["flac", "wav"] = "flac"
    audio_layout: Literal["files", "tar"] = "files"
    keep: Literal["nothing", "tokens"] = "nothing"
    max_attempts: int = Field(2, ge=1)
    max_errors: int | str | None = None
    stage_timeout_s: float = Field(3600.0, gt=0)
    address: str | None = None
    load: LoadConfig = LoadConfig()
    encode: PoolConfig = PoolConfig()
    generate: PoolConfig = PoolConfig(batch=16)
    decode: PoolConfig = PoolConfig()
    flow: FlowOptions = FlowOptions()
    sampling: SamplingOptions = SamplingOptions()

    @field_validator("max_errors")
    @classmethod
    def _number_or_share(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, str) and value.isdigit():
            return int(value)
        if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?%", value):
            raise ValueError(f"max_errors {value!r} must be a number of rows or a share like '5%'")
        return value

    def is_hopeless(self, errors: int, done: int) -> bool:
        """Tell whether so many errors among the rows done are more than `max_errors`."""
        if isinstance(self.max_errors, str):
            share = float(self.max_errors.removesuffix("%")) / 100
            return done >= SHARE_FROM_ROWS and errors > share * done
        return self.max_errors is not None and errors > self.max_errors

    @property
    def spec(self) -> TaskSpec:
        """The task's row of the table."""
        return get_task(self.task)

    def identity(self) -> dict[str, Any]:
        """The settings that change results: two runs that differ here are different jobs."""
        facts = self.model_dump(
            mode="json",
            include={
                "input", "seed", "instruction", "limit", "unit_rows", "audio_format",
                "audio_layout", "keep", "flow", "sampling",
            },
        )  # fmt: skip
        facts["task"] = self.spec.name
        facts["max_duration_s"] = self.load.max_duration_s
        return facts


def _set_dotted(values: dict[str, Any], assignment: str) -> None:
    key, separator, text = assignment.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {assignment!r} must look like key=value, e.g. sampling.top_k=20")
    *parents, last = key.strip().split(".")
    place = values
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {assignment!r}: {parent!r} is a value, not a group of keys")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise UsageError(f"--set {assignment!r}: {text!r} is not a YAML value") from fault


def _explain(fault: ValidationError) -> str:
    problems = []
    for error in fault.errors(include_url=False):
        where = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        problems.append(f"{where}: {message}" if where else message)
    return "; ".join(problems)


def read_config(path: str) -> dict[str, Any]:
    """Settings from a YAML file.

    Raises:
        UsageError: the file is absent or is no mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as fault:
        raise UsageError(f"config {path}: {fault}; a YAML file is needed") from fault
    if not isinstance(values, dict):
        raise UsageError(f"config {path} holds a {type(values).__name__}; a mapping is needed")
    return values


def make_job(
    given: dict[str, Any], config: str | None = None, sets: tuple[str, ...] = ()
) -> JobConfig:
    """Put a job together: the file first, then ``--set``, then what was given by name.

    Raises:
        UsageError: unknown key (the nearest valid one is named), bad value, unknown task.
    """
    values = read_config(config) if config else {}
    for assignment in sets:
        _set_dotted(values, assignment)
    values.update({key: value for key, value in given.items() if value is not None})
    try:
        job = JobConfig(**values)
        job.spec.name  # noqa: B018 - an unknown task is refused here
    except ValidationError as fault:
        raise UsageError(_explain(fault)) from fault
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    return job
