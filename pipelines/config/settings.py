"""Groups of settings that a job is made of."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field, field_validator, model_validator

from actors.columnar.column_names import ID
from actors.inputs.channels import NAMED_CHANNELS
from actors.storage.addresses import LOCAL, local_path, scheme_of
from actors.storage.fetch import MAX_BYTES, TIMEOUT_S, Limits
from pipelines.config.renamed import current_names
from pipelines.manifest.corpora.known import NAMES
from pipelines.manifest.tables.scan import Dialect, LinkPolicy, MadeIds, Suffixes, TextFormat
from uniaudio2.config import ModelConfig, Padding, Windows
from uniaudio2.frozen import Frozen
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.shown import quoted
from uniaudio2.tasks.spec import TaskSpec

_CHARACTERS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "space": " ",
}  # fmt: skip
PoolName = Literal["encode", "generate", "decode"]


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
    """

    padding: Padding = "periodic"

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_names(data, "encode")


class GenerateConfig(PoolConfig):
    """The language model; `batch` is its slots."""

    batch: int = Field(16, ge=1)


class LoadConfig(Frozen):
    """Reading and decoding input audio.

    Attributes:
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


class InputRules(Frozen):
    """Rules for what INPUT may name and link to; ``--set input.NAME=VALUE`` sets one.

    Attributes:
        allow: beginnings of addresses that rows may name besides what their manifest's place
            allows, such as ``s3://other/``, ``/data/`` or ``http://10.0.0.5:8000/``.
        links: links that lead out of an INPUT folder are followed, or refused as rows that fail.
        refused: addresses that rows may not name stop the job before it starts, or fail as rows.
    """

    allow: tuple[str, ...] = ()
    links: LinkPolicy = "follow"
    refused: Literal["stop", "rows"] = "stop"

    @field_validator("allow", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("allow")
    @classmethod
    def _no_everything(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            if not prefix.startswith("/") and not re.match(r"[A-Za-z][\w+.-]*://[^/]*/?", prefix):
                raise ValueError(
                    f"allow {prefix!r}: give the beginning of addresses, such as s3://bucket/, "
                    "http://host:port/ or /folder/"
                )
        return value


class ManifestConfig(Frozen):
    """Settings of how INPUT is read.

    Attributes:
        suffixes: "known" takes files of a folder, a tar or a glob that are audio by their suffix;
            "all" also takes those that begin as audio does, whatever they are called.
        delimiter: one character between the cells of a CSV or TSV, or its name: "comma",
            "semicolon", "tab", "bar", "space". This and the next three are found where they are
            None.
        header: whether the first line of a CSV or TSV names its columns, or their names, which no
            line has then.
        quote: the character that encloses cells, or "none" where quotes are text.
        encoding: of text manifests, by a name that Python knows, such as "cp1252" or "utf-16".
        corpus: "auto" recognises corpora by their files, "none" does not, and the name of one,
            such as "librispeech", reads INPUT as that one whatever else lies in it.
        map: columns of INPUT by the names that they are to have, ``{"audio": "path"}``; on the
            command line ``--map audio=path``.
        id: where ids come from: a column, "place" for the file's name and the row's number in it,
            "content" for a hash of all that the row holds; None takes column `id`, and "content"
            where there is none. A column called place or content is given as ``map: {id: place}``.
        format: "paths" takes the lines of text files as paths of audio; None goes by suffixes.
        base: folder that relative audio paths start in, such as the root of the recipe that wrote
            a Kaldi folder; None is the manifest's own.
    """

    suffixes: Suffixes = "known"
    delimiter: str | None = None
    header: bool | tuple[str, ...] | None = None
    quote: str | None = None
    encoding: str | None = None
    format: TextFormat | None = None
    base: str | None = None
    corpus: str = "auto"
    map: dict[str, str] = {}
    id: str | None = None

    @model_validator(mode="after")
    def _one_source_of_ids(self) -> ManifestConfig:
        if self.id is not None and ID in self.map:
            raise ValueError("map.id and id both say where ids come from; leave one out")
        return self

    @field_validator("map")
    @classmethod
    def _no_marks(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name or name.startswith("_manifest_"):
                raise ValueError(f"map: {quoted(name, 40)} is no name for a column; give another")
        return value

    @property
    def ids(self) -> MadeIds:
        """Ids that are made, see `Scan.ids`."""
        return cast(MadeIds, self.id if self.id in get_args(MadeIds) else "")

    @property
    def ids_from(self) -> str:
        """The column whose values are ids; "" where none is given."""
        return self.map.get(ID, "") or ("" if self.ids else self.id or "")

    @property
    def names(self) -> dict[str, str]:
        """Columns by the names that they are given, without that of ids."""
        return {new: name for new, name in self.map.items() if new != ID}

    @property
    def dialect(self) -> Dialect:
        """What is given of how tables of text are written."""
        return Dialect(self.delimiter, self.header, self.quote, self.encoding)

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = _CHARACTERS.get(value, value) if value else value
        if value is not None and (len(value) != 1 or value in '\r\n"'):
            raise ValueError(
                f"delimiter {quoted(value, 40)}: give one character, such as ';', or one of "
                f"{', '.join(name for name in _CHARACTERS if name.isalpha())}"
            )
        return value

    @field_validator("base")
    @classmethod
    def _from_anywhere(cls, value: str | None) -> str | None:
        """A local folder by its whole path: it is recorded, and read again from elsewhere."""
        if value is None or scheme_of(value) not in LOCAL:
            return value and value.rstrip("/")
        return os.path.abspath(local_path(value))

    @field_validator("quote")
    @classmethod
    def _one_or_none(cls, value: str | None) -> str | None:
        value = "" if value == "none" else value
        if value and (len(value) != 1 or value in "\r\n"):
            raise ValueError(f"quote {quoted(value, 40)}: give one character, or none")
        return value

    @field_validator("corpus")
    @classmethod
    def _known_corpus(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(f"corpus {quoted(value, 40)}: give one of {', '.join(NAMES)}")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            b"text".decode(value or "utf-8", "replace")  # refuses codecs that are not of text
        except (LookupError, UnicodeError) as fault:
            raise ValueError(
                f"encoding {quoted(value, 40)} is not known; give one that Python knows, such as "
                "utf-8, utf-16, cp1252, gbk or shift_jis"
            ) from fault
        return value


class SpanOptions(Frozen):
    """Settings of how long audio is cut into spans; None follows from the model.

    Attributes:
        max_s: longest span; not more than one prompt holds.
        pause_s: a silence of this length always ends a span.
    """

    max_s: float | None = Field(None, gt=0.5)
    pause_s: float | None = Field(None, gt=0.2)


class FlowOptions(Frozen):
    """Settings of the flow decoder; None takes the model's own number."""

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

    `top_k` 0 keeps every id; what the others mean, `Sampling` says.
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
