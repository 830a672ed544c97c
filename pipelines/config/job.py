"""`JobConfig`: every setting of a run."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.config.asked import find_task, read_prompts
from pipelines.config.input_settings import UNIT_BYTES, InputRules, ManifestConfig
from pipelines.config.renamed import current_names
from pipelines.config.scored import gated_task, scored_task, timed_task, voiced_task
from pipelines.config.settings import (
    AsrOptions,
    AudioConfig,
    DecodeConfig,
    EncodeConfig,
    ExamplesConfig,
    FlowOptions,
    GenerateConfig,
    LoadConfig,
    PartsConfig,
    PoolName,
    SamplingOptions,
    ScoreConfig,
    SpanOptions,
    TtsOptions,
)
from pipelines.config.verified import VerifyConfig
from uniaudio2.audio.limits import LONGEST_STREAM_S, MAX_DURATION_S
from uniaudio2.checkpoint.folders import DEFAULT_MODEL
from uniaudio2.frozen import Frozen
from uniaudio2.runtime.precision import EXACT, Precision
from uniaudio2.scores.table import get_scorers
from uniaudio2.tasks.spec import TaskSpec

if TYPE_CHECKING:  # settings are checked before torch and Arrow are there
    from actors.inputs.few_shot import Example
    from actors.speech.voices import Voices

SHARE_FROM_ROWS = 100


def truncated_task(task: TaskSpec, stage: PoolName) -> TaskSpec:
    """Shorten a task so that it ends after one of its stages.

    Raises:
        ValueError: it has no such stage.
    """
    if stage not in task.stages:
        known = ", ".join(task.stages[1:])
        raise ValueError(f"until {stage!r}: task {task.name} has no such stage; one of {known}")
    stages = task.stages[: task.stages.index(stage) + 1]
    keeps_output = stages == task.stages or (task.output == "text" and "generate" in stages)
    changed: dict[str, Any] = {"stages": stages}
    if not keeps_output:
        changed |= {"output": "codes", "output_tag": None}
    return task.model_copy(update=changed)


class JobConfig(Frozen):
    """Settings of a run: a task over an input into an output.

    Immutable; an unknown key is refused, and the nearest known one is named.

    Attributes:
        task: name of a task (`uniaudio2 tasks` lists them), or a YAML file that defines one.
        input: manifest, folder or glob; a local path or a URL such as ``s3://bucket/key``.
        output: folder for the results; a local path or a URL. It holds all state of the run.
        input_rules: what the input may name and lead to; in settings files and ``--set`` these
            are keys below `input`.
        model: name of a bundled model, a model folder, or the URL of one.
        seed: seed of the job; with a row's id it decides every random draw of that row.
        audio_format: of generated audio.
        audio_layout: a file a row, or one tar a unit.
        address: Ray cluster to join; None starts Ray on this machine for the run.
        keep_warm_s: on a cluster: workers of pools stay so long after the run, with their models
            loaded, for runs of the same user with an equal model and equal settings of the stage;
            pools then have `min_size` workers. Null ends them with the run.
        executor: ``auto`` takes Ray, and one worker process without it where there are but a few
            rows and no pool is asked for; ``ray`` and ``process`` choose; ``processes`` takes as
            many such workers as there are processors and memory for, each with the whole model;
            ``inline`` runs all stages one after the other in this process, for debugging.
        removed: what becomes of results whose rows INPUT no longer has: they stay, or go at the
            end of the run.
        metrics_port: the driver serves Prometheus metrics here while it runs; 0 takes a free port,
            None serves none.
        metrics_host: interface that they are served at.
        manifest: how INPUT is read.
        audio: what of a row's audio is heard.
        parts: sizes of the files that results are in.
        load: how input audio is read.
        encode: actor pool of the codec's encoders.
        generate: actor pool of the language model.
        decode: actor pool of the flow decoder.
        score: actor pool of what judges results.
        verify: a rule that results are held against; rows that break it are made again.
        asr: times of transcripts, and what becomes of recordings in which nobody speaks.
        tts: how long texts are spoken.
        spans: how long audio is cut.
        flow: how codes become audio.
        sampling: how tokens are chosen.
        instruction: asked of every row that brings none of its own; None takes the task's.
        prompts: JSON file of instructions by task, ``{"asr": [..]}``; a row's seed chooses.
        examples: worked examples that stand before every row.
        unit_rows: rows that are committed together; None chooses by the size of the manifest.
        unit_bytes: most bytes of audio that these rows hold, or that the files have which they name
            without telling their length; a row that alone has more is a unit.
        limit: use the first rows alone.
        until: last stage to run; its codes are the result.
        max_attempts: how often a unit is tried before its rows are tried one by one.
        max_errors: stop when more rows than this have failed; a number, or a share such as
            ``"5%"`` of the rows done (judged from 100 rows on).
        commit_interval_s: units that come within this time of the last commit record are committed
            in one of many when it is over, see docs/data-model.md; 0 commits each by itself.
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
    prompts: str | None = None
    examples: ExamplesConfig | None = None
    limit: int | None = Field(None, ge=1)
    until: Literal["encode", "generate", "decode"] | None = None
    unit_rows: int | None = Field(None, ge=1, le=4096)
    unit_bytes: int = Field(UNIT_BYTES, ge=1)
    audio_format: Literal["flac", "wav"] = "flac"
    audio_layout: Literal["files", "tar"] = "files"
    keep: Literal["nothing", "tokens"] = "nothing"
    max_attempts: int = Field(2, ge=1)
    max_errors: int | str | None = None
    commit_interval_s: float = Field(2.0, ge=0, le=60)
    stage_timeout_s: float = Field(3600.0, gt=0)
    address: str | None = None
    keep_warm_s: float | None = Field(None, gt=0, le=86_400)
    executor: Literal["auto", "ray", "process", "processes", "inline"] = "auto"
    removed: Literal["keep", "withdraw"] = "keep"
    metrics_port: int | None = Field(None, ge=0, le=65_535)
    metrics_host: str = Field("127.0.0.1", pattern=r"^[\w.:-]+$")
    input_rules: InputRules = InputRules()
    manifest: ManifestConfig = ManifestConfig()
    audio: AudioConfig = AudioConfig()
    parts: PartsConfig = PartsConfig()
    load: LoadConfig = LoadConfig()
    encode: EncodeConfig = EncodeConfig()
    generate: GenerateConfig = GenerateConfig()
    decode: DecodeConfig = DecodeConfig()
    score: ScoreConfig = ScoreConfig()
    verify: VerifyConfig = VerifyConfig()
    asr: AsrOptions = AsrOptions()
    tts: TtsOptions = TtsOptions()
    spans: SpanOptions = SpanOptions()
    flow: FlowOptions = FlowOptions()
    sampling: SamplingOptions = SamplingOptions()

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_names(data)

    @field_validator("max_errors")
    @classmethod
    def _number_or_share(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, str) and value.isdigit():
            return int(value)
        if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?%", value):
            raise ValueError(f"max_errors {value!r} must be a number of rows or a share like '5%'")
        return value

    def exceeds_max_errors(self, errors: int, done: int) -> bool:
        """Tell whether so many errors among the rows done are more than `max_errors`."""
        if isinstance(self.max_errors, str):
            share = float(self.max_errors.removesuffix("%")) / 100
            return done >= SHARE_FROM_ROWS and errors > share * done
        return self.max_errors is not None and errors > self.max_errors

    @model_validator(mode="after")
    def _one_place_to_run(self) -> JobConfig:
        places = {
            "inline": "in this process", "process": "in one process of this machine",
            "processes": "in processes of this machine",
        }  # fmt: skip
        if self.executor in places and self.address is not None:
            raise ValueError(
                f"executor {self.executor!r} runs {places[self.executor]} and address names a "
                "cluster; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _removed_is_known(self) -> JobConfig:
        if self.removed == "withdraw" and self.limit is not None:
            raise ValueError(
                "removed 'withdraw' takes out what INPUT no longer has, and with limit not all of "
                "INPUT is read; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _one_source_of_instructions(self) -> JobConfig:
        if self.instruction is not None and self.prompts is not None:
            raise ValueError("instruction and prompts are both given; leave one out")
        return self

    @cached_property
    def spec(self) -> TaskSpec:
        """The task, built in or defined by a file, without stages behind `until`, with the scorers
        that are asked for; read once."""
        task = find_task(self.task)
        task = task if self.until is None else truncated_task(task, self.until)
        task = voiced_task(task, self.tts.voices)
        task = scored_task(task, self.score.scorers, self.verify.scorers)
        return timed_task(gated_task(task, self.asr.no_speech), self.asr.times)

    @property
    def max_duration_s(self) -> float:
        """Longest audio of a row. What is decoded to a wave again, or scored, is in memory as a
        whole."""
        is_whole = {"decode", "score"} & set(self.spec.stages)
        default = MAX_DURATION_S if is_whole else LONGEST_STREAM_S
        return self.load.max_duration_s or default

    @cached_property
    def instructions(self) -> tuple[str, ...]:
        """Instructions for rows that bring none of their own; read once."""
        if self.prompts is not None:
            return read_prompts(self.prompts, self.spec)
        return (self.spec.instruction if self.instruction is None else self.instruction,)

    @cached_property
    def few_shot_examples(self) -> tuple[Example, ...]:
        """The examples, decoded; read once."""
        if self.examples is None:
            return ()
        from pipelines.config.prompts import read_examples

        asked = self.examples
        allow = self.input_rules.allow
        return read_examples(asked.input, asked.count, self.spec, self.max_duration_s, allow)

    @cached_property
    def voices(self) -> Voices | None:
        """The voices, each heard once; read once."""
        if self.tts.voices is None:
            return None
        from pipelines.config.beside.voices import read_voices

        return read_voices(self.tts.voices, self.load.limits, self.input_rules.allow)

    @property
    def precisions(self) -> dict[str, Precision]:
        """Precision of the stages that are not exact."""
        chosen = {"encode": self.encode.precision, "decode": self.decode.precision}
        return {
            name: precision
            for name, precision in chosen.items()
            if precision != EXACT and name in self.spec.stages
        }

    def identity(self) -> dict[str, Any]:
        """The settings that change results: two runs that differ here are different jobs.

        Files that a job names count by their contents.
        """
        facts = self.model_dump(
            mode="json",
            include={
                "input", "seed", "until", "audio_format", "audio_layout", "keep", "spans", "flow",
                "sampling",
            },
        )  # fmt: skip
        facts["task"] = self.spec.name
        hidden = {"summary", "aliases", "times", *(() if self.spec.scorers else ("scorers",))}
        if not self.spec.voiced:
            hidden.add("voiced")
        if self.voices is not None:
            facts["voices"] = self.voices.fingerprint
        if self.spec.no_speech != "empty":  # a mark changes no text
            hidden.add("no_speech")
        facts["definition"] = self.spec.model_dump(mode="json", exclude=hidden)
        if self.spec.scorers:
            facts["scorers"] = [one.identity for one in get_scorers(self.spec.scorers)]
        if self.verify.rule is not None:
            facts["verify"] = self.verify.model_dump(mode="json")
        facts["instructions"] = list(self.instructions)
        facts["examples"] = [example.fingerprint for example in self.few_shot_examples]
        facts["context"] = self.encode.padding  # the setting's first name, as it is recorded
        facts["max_duration_s"] = self.max_duration_s
        named = self.manifest.model_dump(mode="json", include={"map", "id"}, exclude_defaults=True)
        if named:
            facts["manifest"] = named
        if precisions := self.precisions:  # what runs computed in that knew no other
            facts["precision"] = precisions
        if self.audio.channel != "mix":  # what runs heard that knew no other
            facts["audio"] = self.audio.model_dump(mode="json")
        return facts
