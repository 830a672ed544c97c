"""Names under which other people's manifests keep what tasks read as `audio` and `text`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from actors.batch.names import AUDIO_COLUMNS, RECON_CODES
from pipelines.manifest.tables.audio_names import is_audio_name
from uniaudio2.tasks.spec import TaskSpec

ALIASES: dict[str, tuple[str, ...]] = {
    "audio": (
        *AUDIO_COLUMNS[1:],  # which is read as it is
        "audio_path", "audio_file", "audio_file_path", "audio_filename", "audio_file_name",
        "audio_url", "audio_uri", "path", "file", "file_path", "filepath", "filename", "file_name",
        "wav", "wav_path", "wav_file", "wav_filename", "wav_filepath", "wavpath", "clip",
        "clip_path", "sound", "sound_path", "speech", "speech_path", "recording", "recording_path",
        "url", "uri",
    ),
    "text": (
        "sentence", "transcript", "transcription", "normalized_text", "text_normalized",
        "normalized_transcript", "normalized_transcription", "transcript_normalized",
        "raw_text", "raw_transcript", "raw_transcription", "original_text", "text_original",
        "txt", "utterance", "utterance_text",
    ),
}  # fmt: skip
"""By the column that tasks read: those that serve in its place where there is one of them."""
_CODES = (RECON_CODES, "recon_path")
_STAND_INS = {"audio": (*AUDIO_COLUMNS[1:], *_CODES), RECON_CODES: _CODES[1:]}
_HELD = (pa.types.is_binary, pa.types.is_large_binary)
_TEXTS = (pa.types.is_string, pa.types.is_large_string)
_LONGEST_PATH = 4096
_LONGEST_SUFFIX = 6
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://\S")


def serving(column: str, task: TaskSpec) -> tuple[str, ...]:
    """Columns that are read as they are where one that a task needs is absent."""
    others = _STAND_INS.get(column, ())
    if task.output == "scores":  # codes are no sound
        others = tuple(name for name in others if name not in _CODES)
    return (*others, *filter(None, [task.fallback.get(column)]))


def needs_of(task: TaskSpec) -> dict[str, tuple[str, ...]]:
    """Columns that a task needs and `ALIASES` knows, and for each what else is read as it is."""
    needs = {}
    for column in task.columns:
        names = (column, *serving(column, task))
        if target := next((name for name in names if name in ALIASES), None):
            needs[target] = names
    return needs


def aliases_in(names: Iterable[str], target: str) -> list[str]:
    """Columns that may be `target` by their names, whatever their case and spaces."""
    known = {target, *ALIASES.get(target, ())}
    return [name for name in names if re.sub(r"[ -]+", "_", name.strip()).lower() in known]


def can_be(kind: pa.DataType, target: str) -> bool | None:
    """Tell by a column's type whether it can be `target`; None where its values must tell."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = any(test(kind) for test in _TEXTS)
    if target != "audio":
        return is_text
    if pa.types.is_struct(kind):
        return bool({"bytes", "path"} & {field.name for field in kind})
    return None if is_text else any(test(kind) for test in _HELD)


def hold_paths(values: Iterable[Any]) -> bool:
    """Tell whether most of some values are paths or addresses."""
    values = [value for value in values if value]
    return bool(values) and sum(map(_is_path, values)) * 2 > len(values)


def _is_path(value: Any) -> bool:
    """Tell a path or an address from a word or a sentence."""
    if not isinstance(value, str) or value.startswith("data:audio/"):
        return isinstance(value, str)
    if len(value) > _LONGEST_PATH or "\n" in value:
        return False
    name = posixpath.basename(value.replace("\\", "/"))
    has_suffix = 1 < len(posixpath.splitext(name)[1]) < _LONGEST_SUFFIX
    return is_audio_name(value) or bool(_ADDRESS.match(value)) or ("/" in value and has_suffix)
