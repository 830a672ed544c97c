"""The one table of tasks: what each reads, how its prompt is laid out and what comes out.

Source: the layouts of the published evaluation scripts. Adding a task is adding a row.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uniaudio2.frozen import Frozen, nearest

Stage = Literal["load", "encode", "generate", "decode"]
Output = Literal["codes", "text", "audio"]
SegmentKind = Literal["text", "reason", "recon", "audio_prompt"]


class Segment(Frozen):
    """One piece of a prompt.

    Attributes:
        kind: text ids, reasoning codes, reconstruction codes, or an audio prompt.
        column: the input column it is filled from.
        tag: wraps text in ``<tag>`` and ``</tag>``.
    """

    kind: SegmentKind
    column: str
    tag: str | None = None


class TaskSpec(Frozen):
    """A task as data.

    Attributes:
        columns: input columns that a row must have.
        optional: input columns that are used when present.
        fallback: a column that serves where a required one is absent (``{"caption": "text"}``).
        stages: what the pipeline runs, in order.
        prompt: segments after the instruction, in order.
        instruction: the task prompt, used when the job and the row name none.
        output: what a row yields.
        output_tag: the tag that the model puts around its text.
        greedy: decode without sampling unless the job asks otherwise.
        long_audio: what becomes of audio that one prompt cannot hold: it is refused, or cut at
            silences into spans whose texts are joined.
        max_frames: most frames or text tokens generated for a row.
    """

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    fallback: dict[str, str] = {}
    stages: tuple[Stage, ...]
    prompt: tuple[Segment, ...] = ()
    instruction: str = ""
    output: Output
    output_tag: str | None = None
    greedy: bool = False
    long_audio: Literal["refuse", "spans"] = "refuse"
    max_frames: int = Field(500, gt=0)


_AUDIO = (Segment(kind="reason", column="audio"), Segment(kind="recon", column="audio"))
_UNDERSTAND: tuple[Stage, ...] = ("load", "encode", "generate")
_SPEAK: tuple[Stage, ...] = ("load", "generate", "decode")
_TRANSFORM: tuple[Stage, ...] = ("load", "encode", "generate", "decode")


def _tagged(column: str, tag: str) -> Segment:
    return Segment(kind="text", column=column, tag=tag)


_ROWS = (
    TaskSpec(
        name="tokenize",
        summary="audio to reasoning and reconstruction codes",
        columns=("audio",),
        stages=("load", "encode"),
        output="codes",
    ),
    TaskSpec(
        name="reconstruct",
        summary="audio to codes and back to audio",
        columns=("audio",),
        stages=("load", "encode", "decode"),
        output="audio",
    ),
    TaskSpec(
        name="detokenize",
        summary="codes to audio",
        columns=("recon_codes",),
        optional=("reason_codes",),
        stages=("load", "decode"),
        output="audio",
    ),
    TaskSpec(
        name="asr",
        summary="speech to text",
        aliases=("ASR",),
        columns=("audio",),
        stages=_UNDERSTAND,
        prompt=_AUDIO,
        instruction="Write down the words that are spoken in this recording.",
        output="text",
        output_tag="transcription",
        greedy=True,
        long_audio="spans",
    ),
    TaskSpec(
        name="audio_caption",
        summary="sound to a sentence that describes it",
        columns=("audio",),
        stages=_UNDERSTAND,
        prompt=_AUDIO,
        instruction="Describe in one sentence what can be heard in this recording.",
        output="text",
        output_tag="caption",
        greedy=True,
    ),
    TaskSpec(
        name="audio_understanding",
        summary="audio and a question to an answer",
        columns=("audio", "question"),
        stages=_UNDERSTAND,
        prompt=(Segment(kind="text", column="question"), *_AUDIO),
        instruction="Answer the question about this recording.",
        output="text",
        greedy=True,
    ),
    TaskSpec(
        name="tts",
        summary="text to speech",
        aliases=("TTS",),
        columns=("text",),
        stages=_SPEAK,
        prompt=(_tagged("text", "transcription"),),
        instruction="Say the following text aloud.",
        output="audio",
    ),
    TaskSpec(
        name="tta",
        summary="caption to sound",
        aliases=("TTA",),
        columns=("caption",),
        fallback={"caption": "text"},
        stages=_SPEAK,
        prompt=(_tagged("caption", "caption"),),
        instruction="Make the sound that this caption describes.",
        output="audio",
    ),
    TaskSpec(
        name="ttm",
        summary="caption to music",
        aliases=("TTM",),
        columns=("caption",),
        fallback={"caption": "text"},
        stages=_SPEAK,
        prompt=(_tagged("caption", "caption"),),
        instruction="Make the music that this caption describes.",
        output="audio",
    ),
    TaskSpec(
        name="lts",
        summary="lyric to song",
        aliases=("LTS",),
        columns=("lyric",),
        fallback={"lyric": "text"},
        stages=_SPEAK,
        prompt=(_tagged("lyric", "lyric"),),
        instruction="Sing a song with these lyrics.",
        output="audio",
    ),
    TaskSpec(
        name="instruct_tts",
        summary="description of a voice and text to speech",
        aliases=("InstructTTS",),
        columns=("caption", "text"),
        stages=_SPEAK,
        prompt=(_tagged("caption", "caption"), _tagged("text", "transcription")),
        instruction="Say the text in the voice that is described.",
        output="audio",
    ),
    TaskSpec(
        name="speech_s2s",
        summary="spoken request to spoken answer",
        columns=("audio",),
        stages=_TRANSFORM,
        prompt=_AUDIO,
        instruction="Listen, then answer in speech.",
        output="audio",
    ),
    TaskSpec(
        name="speech_edit",
        summary="speech and new text to edited speech",
        columns=("audio", "text"),
        stages=_TRANSFORM,
        prompt=(Segment(kind="text", column="text"), *_AUDIO),
        instruction="Say this recording again with the new text.",
        output="audio",
    ),
)

TASKS: dict[str, TaskSpec] = {row.name: row for row in _ROWS}
_ALIASES = {alias: row.name for row in _ROWS for alias in row.aliases}


def get_task(name: str) -> TaskSpec:
    """Look a task up by its name or a published spelling of it.

    Raises:
        ValueError: no such task; the message names the nearest ones.
    """
    task = TASKS.get(name) or TASKS.get(_ALIASES.get(name, ""))
    if task is None:
        raise ValueError(f"unknown task {name!r}; {nearest(name, [*TASKS, *_ALIASES])}")
    return task
