"""The card of an exported Hugging Face dataset: YAML header, then how the rows came about."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from actors.batch.names import (
    AUDIO_PATH,
    DURATION_S,
    FINISH_REASON,
    INPUT_DAMAGED_S,
    INPUT_DURATION_S,
    INPUT_MIX,
    INPUT_SHORT_BY_S,
    INPUT_UNFINISHED,
    REASON_CODES,
    RECON_CODES,
    SCORE_REASONS,
    SEGMENTS,
    WORDS,
)
from uniaudio2.scores.table import SCORERS
from uniaudio2.shown import shown

_CATEGORIES = {
    "asr": "automatic-speech-recognition",
    "tts": "text-to-speech",
    "instruct_tts": "text-to-speech",
    "tta": "text-to-audio",
    "ttm": "text-to-audio",
    "lts": "text-to-audio",
    "speech_s2s": "audio-to-audio",
    "speech_edit": "audio-to-audio",
    "reconstruct": "audio-to-audio",
}
_KNOWN = {
    "id": "id of the input row",
    "audio": "audio file, 24 kHz mono",
    "task": "what was done",
    "text": "the text",
    REASON_CODES: "reasoning tokens, `[T][8]`, 5 Hz, time first",
    RECON_CODES: "reconstruction tokens, `[T][8]`, 12.5 Hz, time first",
    DURATION_S: "seconds of the audio that was made",
    INPUT_DURATION_S: "seconds of the audio that went in",
    INPUT_MIX: "how channels were brought together, where that was no plain mix",
    INPUT_SHORT_BY_S: "seconds of input that were announced and are not there",
    INPUT_DAMAGED_S: "seconds of silence where the input could not be decoded",
    INPUT_UNFINISHED: "the input's header was never completed; it was read to its end",
    WORDS: "words with their times in seconds, and how probable each is",
    SEGMENTS: "pieces of the text with their times in seconds",
    FINISH_REASON: "`stop`: it ended by itself; `length`: it was cut; `no_speech`: nobody speaks",
    **{
        column.name: f"{column.meaning} ({column.unit})"
        for scorer in SCORERS.values()
        for column in scorer.columns
    },
    SCORE_REASONS: "which scores the row does not have, and why",
    "seed": "seed of the row",
    "model": "name and fingerprint of the model",
}


def as_code(value: Any) -> str:
    """A text that is not ours as a span of code, in which Markdown and HTML mean nothing.

    What would end the span or a table's cell is written out, as `shown` writes control characters.
    """
    text = shown(value).replace("`", "\\x60").replace("|", "\\x7c")
    return f"`{text}`" if text.strip() else "(nothing)"


def dataset_card(run: dict[str, Any], schema: pa.Schema, rows: int, with_audio: bool) -> str:
    """The text of ``README.md``.

    Args:
        run: ``run.json`` of the run.
        schema: columns of its results.
        rows: rows that were exported.
        with_audio: there is an `audio` column.
    """
    from huggingface_hub import DatasetCardData

    job, model = run["job"], run["model"]
    task, name = shown(job["task"]), shown(model["name"])
    header = DatasetCardData(
        pretty_name=f"{task} by {name}",
        task_categories=[_CATEGORIES[task]] if task in _CATEGORIES else None,
        tags=["uniaudio2", task],
        configs=[
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}
        ],
    )
    names = [name for name in schema.names if not (with_audio and name in ("audio", AUDIO_PATH))]
    columns = [*(["audio"] if with_audio else []), *names]
    known = _KNOWN if with_audio else {**_KNOWN, "audio": "where the input audio was"}
    lines = [f"| {as_code(one)} | {known.get(one, 'came with the input')} |" for one in columns]
    versions = ", ".join(as_code(f"{one} {number}") for one, number in run["versions"].items())
    trained = "" if model["trained"] else " The model is untrained: this is a test."
    return "\n".join(
        [
            "---", header.to_yaml(), "---", "",
            f"# {as_code(task)} by {as_code(name)}", "",
            f"{rows} rows, made by {as_code(f'uniaudio2 run {task}')} with model "
            f"{as_code(job['model'])}, seed {as_code(job['seed'])}.{trained} Audio that a model "
            "made should be labelled as such; say here where the input came from, and choose a "
            "licence.", "",
            "| column | meaning |", "|---|---|", *lines, "",
            f"Versions: {versions}.", "",
        ]
    )  # fmt: skip
