"""A task as data: what it reads, how its prompt is laid out and what comes out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from uniaudio2.frozen import Frozen, known
from uniaudio2.tokens.streams import PAIR, Stream

Stage = Literal["load", "encode", "generate", "decode", "score"]
Output = Literal["codes", "text", "audio", "scores"]
NoSpeech = Literal["mark", "empty", "keep"]
Times = Literal["word", "segment", "none"]
ItemKind = Literal["text", "audio", "reason", "recon", "audio_prompt"]

AUDIO = "audio"
"""The column that every task with audio in its prompt reads; others may come beside it."""
VOICE = "voice"
"""The column by which a row may choose its voice."""
REFERENCE = "reference"
"""The column that task `score` may compare the voice of `AUDIO` with."""
SPOKEN_TAG = "transcription"
"""What the model puts around text that is spoken."""
MOST_SOUNDS = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SHOWN = {
    "audio": "R({0}) S({0})",
    "reason": "R({0})",
    "recon": "S({0})",
    "audio_prompt": "AP({0})",
}


class PromptItem(Frozen):
    """One item of a prompt.

    Attributes:
        kind: text, audio (reasoning codes, then reconstruction codes), one of its two streams,
            or an audio prompt.
        column: the input column it is filled from.
        text: fixed text, in the place of a column.
        tag: wraps text in ``<tag>`` and ``</tag>``.
        open: leave out the end of the text, so that the model goes on with it.
    """

    kind: ItemKind
    column: str | None = None
    text: str | None = None
    tag: str | None = None
    open: bool = False

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, value: Any) -> Any:
        return known(value, get_args(ItemKind), "kind")

    @model_validator(mode="after")
    def _consistent(self) -> PromptItem:
        if (self.column is None) == (self.text is None):
            raise ValueError(
                f"an item of kind {self.kind!r} has {'both' if self.column else 'neither'} "
                "column and text; give one: the input column that fills it, or fixed text"
            )
        if self.kind != "text" and (self.text is not None or self.tag is not None or self.open):
            raise ValueError(
                f"text, tag and open are for items of kind 'text', not {self.kind!r}; "
                "leave them out"
            )
        if not (self.column or self.text or "").strip():
            raise ValueError("an item's column or text is empty; fill it or leave it out")
        if self.column == "instruction":
            raise ValueError(
                "column 'instruction' replaces the task's instruction and fills no item; "
                "give the column another name"
            )
        return self

    @property
    def shown(self) -> str:
        """The item as `TaskSpec.layout` shows it."""
        if self.kind != "text":
            return _SHOWN[self.kind].format(self.column)
        words = repr(self.text) if self.text is not None else f"{{{self.column}}}"
        return f"<{self.tag}>{words}</{self.tag}>" if self.tag else words


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class TaskSpec(Frozen):
    """A task as data.

    Attributes:
        columns: input columns that a row must have; those of the prompt where there is one.
        optional: input columns that are used when present.
        fallback: a column that serves where a required one is absent (``{"caption": "text"}``).
        stages: what the pipeline runs, in order; it follows from inputs and output.
        prompt: items after the instruction, in order; none if nothing is generated.
        instruction: the task prompt, used when the job and the row name none; "" for none.
        output: what a row yields.
        output_tag: the tag that the model puts around its text.
        answer: streams that are generated where the output is no text: both, one, or both of
            several sounds, one sound behind the other.
        greedy: decode without sampling unless the job asks otherwise.
        long_audio: what becomes of audio that one prompt cannot hold: it is refused, or cut at
            silences into spans whose texts are joined.
        max_frames: most frames or text tokens generated for a row.
        no_speech: what becomes of a recording in which nobody speaks: nothing is looked for, its
            `finish_reason` says so, or its text is empty as well.
        times: what of a transcript is told when it is spoken: words and segments, segments alone,
            or nothing.
        scorers: what judges the result, by name, see `uniaudio2.scores.table`.
        voiced: `AUDIO` is none of a row's columns: it is the recording of the voice that the row
            has of those that the job names.
    """

    name: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    fallback: dict[str, str] = {}
    stages: tuple[Stage, ...] = ()
    prompt: tuple[PromptItem, ...] = ()
    instruction: str = ""
    output: Output
    output_tag: str | None = None
    answer: tuple[Stream, ...] = PAIR
    greedy: bool = False
    long_audio: Literal["refuse", "spans"] = "refuse"
    max_frames: int = Field(500, gt=0)
    no_speech: NoSpeech = "keep"
    times: Times = "none"
    scorers: tuple[str, ...] = ()
    voiced: bool = False

    @field_validator("output", mode="before")
    @classmethod
    def _known_output(cls, value: Any) -> Any:
        return known(value, get_args(Output), "output")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"name {value!r} must be a letter, then letters, digits, _ or -")
        return value

    @field_validator("answer")
    @classmethod
    def _whole_sounds(cls, value: tuple[Stream, ...]) -> tuple[Stream, ...]:
        sounds = [PAIR * count for count in range(1, MOST_SOUNDS + 1)]
        if value not in [("reason",), ("recon",), *sounds]:
            raise ValueError(
                f"answer {list(value)} must be [reason], [recon], or [reason, recon] up to "
                f"{MOST_SOUNDS} times"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> TaskSpec:
        """Check the task as a whole, and fill in what follows from the prompt."""
        read = _unique(item.column for item in self.prompt if item.column)
        if self.voiced:
            read = tuple(name for name in read if name != AUDIO)
        audio_columns = self.audio_columns
        if self.prompt and self.columns and set(self.columns) != set(read):
            raise ValueError(
                f"columns {list(self.columns)} are not those of the prompt, {list(read)}; "
                "leave columns out"
            )
        if audio_columns and AUDIO not in audio_columns:
            raise ValueError(
                f"audio is read from {', '.join(audio_columns)}; call one of them {AUDIO!r}"
            )
        both = sorted(set(audio_columns) & set(self.text_columns))
        if both:
            raise ValueError(f"column {both[0]!r} fills text and audio; use two columns")
        if not set(self.fallback) <= set(read or self.columns):
            raise ValueError(f"fallback {self.fallback} is for columns that the task reads")
        if not (self.prompt or self.columns):
            raise ValueError(f"task {self.name!r} has no prompt; give at least one item")
        self._check_output()
        object.__setattr__(self, "columns", self.columns or read)
        object.__setattr__(self, "stages", self.stages or self._stages())
        return self

    def _check_output(self) -> None:
        if self.output_tag and self.output != "text":
            raise ValueError(f"output_tag {self.output_tag!r} is for text; output is {self.output}")
        if self.output == "text" and self.answer != PAIR:
            raise ValueError("answer is for audio and codes; output is text: leave it out")
        if self.output == "scores" and self.prompt:
            raise ValueError("output is scores, which no prompt makes; leave the prompt out")
        if self.output == "audio" and "recon" not in self.answer:
            raise ValueError("answer [reason] holds no sound; make output codes, or add recon")

    def _stages(self) -> tuple[Stage, ...]:
        wanted: dict[Stage, bool] = {
            "load": True,
            "encode": bool(self.audio_columns),
            "generate": bool(self.prompt),
            "decode": self.output == "audio",
            "score": self.output == "scores" or bool(self.scorers),
        }
        return tuple(stage for stage, is_wanted in wanted.items() if is_wanted)

    @property
    def audio_columns(self) -> tuple[str, ...]:
        """Columns whose audio is encoded."""
        if not self.prompt:
            is_encoded = AUDIO in self.columns and self.output != "scores"
            return (AUDIO,) if is_encoded else ()
        return _unique(s.column for s in self.prompt if s.column and s.kind != "text")

    @property
    def other_audio(self) -> tuple[str, ...]:
        """Columns whose audio is encoded, or compared, beside that of `AUDIO`."""
        compared = (REFERENCE,) if REFERENCE in self.optional else ()
        return (*(name for name in self.audio_columns if name != AUDIO), *compared)

    @property
    def reference(self) -> str | None:
        """The column of the recording that the sound of a row may be compared with; it may be
        absent where sounds alone are judged."""
        if self.output == "scores":
            return REFERENCE
        if self.voiced:
            return VOICE
        return AUDIO if self.output == "audio" and AUDIO in self.columns else None

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that are read as text."""
        return _unique(s.column for s in self.prompt if s.column and s.kind == "text")

    @property
    def spoken_column(self) -> str | None:
        """The column of the text that the task says, if it makes one sound of it: a long one is
        spoken in passages."""
        if self.output == "text" or self.sounds != 1 or "generate" not in self.stages:
            return None
        said = (one.column for one in self.prompt if one.tag == SPOKEN_TAG and not one.open)
        return next(filter(None, said), None)

    @property
    def sounds(self) -> int:
        """How many sounds a row yields; 0 for texts and scores."""
        return 0 if self.output in ("text", "scores") else max(len(self.answer) // 2, 1)

    @property
    def makes_codes(self) -> bool:
        """Whether what comes out is codes, or was."""
        return self.output in ("codes", "audio")

    @property
    def layout(self) -> str:
        """The order of a prompt in words: TP is the instruction, R and S are the reasoning and
        reconstruction codes of a column, AP is an audio prompt."""
        first = ["TP"] if self.instruction else []
        return " ".join(first + [item.shown for item in self.prompt])

    @property
    def yields(self) -> str:
        """What comes out, in words."""
        if self.output == "text":
            return f"text in <{self.output_tag}>" if self.output_tag else "text"
        if not self.prompt:
            return self.output
        letters = " ".join("R" if stream == "reason" else "S" for stream in self.answer)
        return f"{self.output}: {letters}"
