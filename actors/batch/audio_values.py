"""What a row's audio column says: one name, several files that are one recording, or the sound."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actors.batch.names import AUDIO_COLUMNS, MOST_CHANNELS, RATE_COLUMNS
from actors.batch.sample_arrays import encoded_samples
from uniaudio2.audio.embedded import is_embedded
from uniaudio2.errors import BadRow

LIST_OF_TEXT = r'^\s*\[\s*"'
_LIST_OF_TEXT = re.compile(LIST_OF_TEXT)


def listed_files(value: Any) -> tuple[str, ...]:
    """The files of a value that lists several, the channels of one recording in their order.

    Args:
        value: a list of names, or the JSON text of one, as columns of mixed kinds hold it.

    Returns:
        their names as they stand there; none where the value is anything else.
    """
    if isinstance(value, str):
        if not _LIST_OF_TEXT.match(value):
            return ()
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return ()
    is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return tuple(value) if is_list else ()


def names_in(value: Any) -> Sequence[str]:
    """The names of files in a value: those that it lists, itself where it is text, or none."""
    return listed_files(value) or ((value,) if isinstance(value, str) else ())


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def holds_lists_of_text(kind: pa.DataType) -> bool:
    """Whether a column holds lists of text, which may be files."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(is_list) and holds_text(kind.value_type)


def list_text(files: Sequence[str]) -> str:
    """Several files as the text that `listed_files` reads: a column then holds text alone."""
    return json.dumps(list(files), ensure_ascii=False)


def first_value(row: Mapping[str, Any]) -> Any:
    """The value of the first audio column of a row that has one."""
    return next((row[name] for name in AUDIO_COLUMNS if row.get(name) is not None), None)


def audio_name(row: Mapping[str, Any]) -> str:
    """The name of a row's audio as it stands in the manifest; "" where that is no plain text."""
    value = first_value(row)
    if isinstance(value, dict):
        value = value.get("path")
    if not isinstance(value, str) or is_embedded(value) or listed_files(value):
        return ""
    return value


def audio_value(row: Mapping[str, Any]) -> bytes | str | tuple[str, ...]:
    """What names or holds the audio of a row; a tuple of files where it lists some.

    Raises:
        BadRow: `missing_value`, `bad_manifest_row`, or `bad_span` for more files than are taken.
    """
    value = text = first_value(row)
    if isinstance(text, str) and text.startswith(("{", "[")):
        try:  # a column of mixed kinds arrives as JSON
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
    if files := listed_files(value):
        return _checked_files(files)
    rates = row
    if isinstance(value, dict):
        is_told = any(value.get(name) is not None for name in RATE_COLUMNS)
        rates = value if is_told else row
        array = value.get("array")
        held = value.get("bytes")
        value = held or (value.get("path") if array is None else array)
        if isinstance(held, str) and held and not is_embedded(held):  # as JSON can hold them
            value = f"data:;base64,{held}"
    if isinstance(value, list | np.ndarray):
        return encoded_samples(value, rates)
    if value is None or value == "":
        raise BadRow("missing_value", "column 'audio' is null or empty; give a path, URI or bytes")
    if not isinstance(value, bytes | str):
        raise BadRow(
            "bad_manifest_row",
            f"column 'audio' holds a {type(value).__name__}; give a path, a URI, bytes, "
            "{bytes, path}, or samples beside their sampling_rate",
        )
    return value


def _checked_files(files: tuple[str, ...]) -> tuple[str, ...]:
    if len(files) > MOST_CHANNELS:
        raise BadRow(
            "bad_span",
            f"a list of {len(files)} files; at most {MOST_CHANNELS} are the channels of one "
            "recording: give each a row",
        )
    if any(not name or is_embedded(name) for name in files):
        raise BadRow(
            "bad_manifest_row",
            f"a list of {len(files)} files with one that is empty or a sound itself; a list holds "
            "paths or URIs",
        )
    return files
