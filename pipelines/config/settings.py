"""Groups of settings that a job is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from actors.batch.names import NAMED_CHANNELS
from actors.storage.fetch import MAX_BYTES, TIMEOUT_S, Limits
from pipelines.config.asked import read_scorers
from pipelines.config.renamed import current_names
from uniaudio2.config import ModelConfig, Padding, Windows
from uniaudio2.frozen import Frozen
from uniaudio2.runtime.precision import EXACT, Precision
from uniaudio2.scores.own import is_scorer_file
from uniaudio2.scores.table import ALL, get_scorers
from uniaudio2.tasks.spec import NoSpeech, TaskSpec, Times

if TYPE_CHECKING:  # settings are checked before torch is there
    from uniaudio2.lm.sampling.sampling import Sampling

PoolName = Literal["encode", "generate", "decode", "score"]


class PoolConfig(Frozen):
    """An actor pool of one stage.

    Attributes:
        min_size: actors that are started at once and kept.
        max_size: actors that the pool may grow to; None lets the cluster's size decide.
        num_cpus: CPUs of an actor; None takes a fair share of what there is.
        num_gpus: GPUs of an actor; None takes one, or a share of one, when the cluster has any.
        resources: custom Ray resources of an actor.
        batch: whole segments, rows or whole windows that go through the model at once; "auto", for
            encode and decode, lets every actor measure what serves it best when it starts.
    """

    min_size: int = Field(1, ge=1)
    max_size: int | None = Field(None, ge=1)
    num_cpus: float | None = Field(None, ge=0)
    num_gpus: float | None = Field(None, ge=0)
    resources: dict[str, float] = {}
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = 8

    @property
    def batch_size(self) -> int | None:
        """`batch` as a number; None for "auto"."""
        return None if self.batch == "auto" else self.batch

    @model_validator(mode="after")
    def _ordered(self) -> PoolConfig:
        if self.max_size is not None and self.max_size < self.min_size:
            raise ValueError(
                f"max_size {self.max_size} is below min_size {self.min_size}; raise it"
            )
        return self


class EncodeConfig(PoolConfig):
    """The codec encoder.

    Attributes:
        padding: how a clip fills its last segment: "periodic" repeats it to whole segments, as
            published; "tight" does not, which is faster for short clips and gives other tokens.
        precision: what the encoders multiply: "float32" is exact; "tf32" (on GPUs) and "bfloat16"
            are faster and give other tokens here and there.
    """

    padding: Padding = "periodic"
    precision: Precision = EXACT

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_names(data, "encode")


class DecodeConfig(PoolConfig):
    """The flow decoder.

    Attributes:
        precision: what the flow transformer multiplies: "float32" is exact; "tf32" (on GPUs) and
            "bfloat16" are faster and give slightly other waves.
    """

    precision: Precision = EXACT


class GenerateConfig(PoolConfig):
    """The language model; `batch` is its slots."""

    batch: int = Field(16, ge=1)


class ScoreConfig(PoolConfig):
    """What judges results, each scorer by itself, see docs/scores.md.

    Attributes:
        scorers: their names, as a list or as `speech,dnsmos`, and YAML files of rows that are made
            of their figures; `all` is every one that needs no
            second recording, None takes those of task `score` that need sound alone, and none for
            other tasks.
        num_gpus: GPUs of an actor; the model that listens for scorer `wer` works faster on one.
        batch: spans that this model transcribes at once.
    """

    scorers: tuple[str, ...] | None = None
    num_gpus: float | None = Field(0, ge=0)
    batch: int = Field(16, ge=1)

    @field_validator("scorers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        names = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            return value
        return [one for name in names for one in _expanded(name)]

    @field_validator("scorers")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(one.asked for one in get_scorers(value))


def _expanded(name: Any) -> tuple[Any, ...]:
    if name == "all":
        return ALL
    is_file = isinstance(name, str) and is_scorer_file(name)
    return tuple(read_scorers(name)) if is_file else (name,)


class LoadConfig(Frozen):
    """Reading and decoding input audio.

    Attributes:
        num_cpus: CPUs of a task that reads or writes a unit; None takes a share of what there is.
        max_duration_s: longest audio of a row; None allows a day where memory does not grow with
            it, else an hour.
        max_bytes: largest audio file.
        timeout_s: longest time for fetching one file, or a block of 8 MiB of one that a store
            gives block by block; a web server that takes longer costs its row.
    """

    num_cpus: float | None = Field(None, gt=0)
    max_duration_s: float | None = Field(None, gt=0)
    max_bytes: int = Field(MAX_BYTES, gt=0)
    timeout_s: float = Field(TIMEOUT_S, gt=0)

    @property
    def limits(self) -> Limits:
        """Limits of one file, in bytes and seconds."""
        return Limits(self.max_bytes, self.timeout_s)


class PartsConfig(Frozen):
    """The Parquet files that results are in.

    Attributes:
        merge: make large ones of many small ones while a run goes on.
        target_bytes: size of those that are made.
    """

    merge: bool = True
    target_bytes: int = Field(128 << 20, ge=1, le=512 << 20)


class AudioConfig(Frozen):
    """What of a row's audio is heard.

    Attributes:
        channel: of a file with several, for rows that do not say: their "mix", "left", "right", one
            by its number from 0, or "each": a row for every channel, with ``/ch0`` and so on behind
            its id.
    """

    channel: Annotated[int, Field(ge=0)] | Literal["mix", "left", "right", "each"] = "mix"

    @field_validator("channel", mode="before")
    @classmethod
    def _one_rule(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not is_number and value not in ("mix", "left", "right", "each"):
            raise ValueError(
                f"{value!r} is no channel; give mix, left, right, each or a number from 0"
            )
        return value

    @property
    def taken(self) -> int | Literal["each"] | None:
        """The channel by its number; None for the mix."""
        if isinstance(self.channel, int) or self.channel == "each":
            return self.channel
        return NAMED_CHANNELS.get(self.channel)


class AsrOptions(Frozen):
    """Settings of tasks that write down what is spoken.

    Attributes:
        no_speech: where nobody speaks, by Silero VAD: `mark` says so in `finish_reason`, `empty`
            leaves the text empty as well, `keep` does not look; None marks where the extra
            [score] is installed.
        times: when it is spoken: of each `word` and segment, of each `segment` alone, or of
            `none`; None takes words. See docs/times.md.
    """

    no_speech: NoSpeech | None = None
    times: Times | None = None


class TtsOptions(Frozen):
    """Settings of tasks that speak a text, see docs/voices.md.

    Attributes:
        long_text: a text that is too long for one answer is spoken in `passages`, or `whole`,
            which loses what the model does not come to.
        longest_s: a text that takes longer to say, by `letters_per_s`, is cut; None takes what the
            model's card says, and no more than its answers have room for.
        passage_s: most of a passage of it; None takes the model's.
        letters_per_s: how fast the model speaks; None takes the model's.
        sentence_pause_s: silence between passages where a sentence ends.
        clause_pause_s: at a comma, colon or the like.
        word_pause_s: between words.
        max_row_s: a row whose text takes longer is an error; its sound is in memory as a whole.
        voices: a manifest of reference recordings, for tasks with an audio prompt: each row draws
            one of them, or names it in its column `voice`.
    """

    long_text: Literal["passages", "whole"] = "passages"
    longest_s: float | None = Field(None, gt=0)
    passage_s: float | None = Field(None, gt=0)
    letters_per_s: float | None = Field(None, gt=0)
    sentence_pause_s: float = Field(0.4, ge=0, le=10)
    clause_pause_s: float = Field(0.2, ge=0, le=10)
    word_pause_s: float = Field(0.06, ge=0, le=10)
    max_row_s: float = Field(600.0, gt=0, le=7200)
    voices: str | None = None


class SpanOptions(Frozen):
    """Settings of how long audio is cut into spans; None follows from the model.

    Attributes:
        max_s: longest span; not more than one prompt holds.
        pause_s: a silence of this length always ends a span.
    """

    max_s: float | None = Field(None, gt=0.5)
    pause_s: float | None = Field(None, gt=0.2)


class FlowOptions(Frozen):
    """Settings of the flow decoder; None takes the model's own number.

    Attributes:
        steps: Euler steps of a window; fewer are faster and coarser.
        guidance: scale of classifier-free guidance; 1 turns it off.
        compat: the published arithmetic of windows, to compare with its sounds.
        windows: "whole" decodes windows of one length as published, "fitted" short ones as short
            as they are.
    """

    steps: int | None = Field(None, gt=0)
    guidance: float | None = Field(None, ge=1.0)
    compat: bool = False
    windows: Windows | None = None

    @model_validator(mode="after")
    def _one_arithmetic(self) -> FlowOptions:
        if self.compat and self.windows == "fitted":
            raise ValueError("compat asks for the published, whole windows; drop one of the two")
        return self


class SamplingOptions(Frozen):
    """Sampling settings; None takes what the task and the model recommend.

    Attributes:
        greedy: take the most probable id, without any draw.
        temperature: divides the logits; below 1 draws are more alike.
        top_k: keep so many of the largest logits; 0 keeps all.
        guidance: scale of classifier-free guidance, for tasks that yield audio; 1 turns it off.
        max_frames: most steps of an answer, audio frames or ids of text.
        no_repeat_ngram_size: no run of so many ids comes twice in a text.
        repetition_penalty: divides the logits of ids that a text holds already; 1 turns it off.
    """

    greedy: bool | None = None
    temperature: float | None = Field(None, gt=0)
    top_k: int | None = Field(None, ge=0)
    guidance: float | None = Field(None, ge=1.0)
    max_frames: int | None = Field(None, gt=0)
    no_repeat_ngram_size: int | None = Field(None, ge=2)
    repetition_penalty: float | None = Field(None, ge=1.0)

    def for_task(self, task: TaskSpec, model: ModelConfig) -> Sampling:
        """The language model's sampling settings for a task."""
        from uniaudio2.lm.sampling.sampling import Sampling

        asked = self.model_dump(exclude_none=True)
        if asked.get("top_k") == 0:
            asked["top_k"] = None
        return Sampling(**Sampling.of_model(model, task).model_dump() | asked)


class ExamplesConfig(Frozen):
    """Worked examples that stand before every row.

    Attributes:
        input: a manifest whose rows have the task's inputs and their answers.
        count: how many of its first rows are used; None uses all.
    """

    input: str
    count: int | None = Field(None, ge=1)
