"""JSON objects of other toolkits' manifests as rows: NeMo's lists of files, WeNet's, FunASR's.

Fields that a toolkit names otherwise get the names that are read; all others travel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from actors.batch.audio_values import list_text
from actors.batch.names import AUDIO_COLUMNS
from actors.inputs.channels import channel_of
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import Row
from uniaudio2.errors import BadRow

LAYOUTS = {
    "WeNet": {"key": "id", "wav": "audio", "txt": "text", "start": "start_s", "end": "end_s"},
    "FunASR": {"key": "id", "source": "audio", "target": "text"},
}
"""What toolkits call the columns that are read; the first three are in every object."""
_ALWAYS = 3
_ARCHIVE = re.compile(r"\.ark:\d+(\[.*\])?$")


def layout_of(row: Mapping[str, Any]) -> str | None:
    """Tell whose object it is; None where it is no toolkit's, or has a column that is read."""
    for name, fields in LAYOUTS.items():
        needed = list(fields)[:_ALWAYS]
        if all(isinstance(row.get(field), str) for field in needed) and not row.keys() & {
            *fields.values()
        }:
            sound = row[needed[1]]
            if is_audio_name(sound) or _ARCHIVE.search(sound):
                return name
    return None


def named_row(row: Mapping[str, Any], layout: str) -> Row | str:
    """An object of a toolkit by the names that are read, or what is wrong with it."""
    fields = LAYOUTS[layout]
    named = {fields.get(name, name): value for name, value in row.items()}
    return archive_fault(named["audio"]) or named


def archive_fault(name: str) -> str:
    """The fault of a sound that lies in a Kaldi archive; "" for any other name."""
    if _ARCHIVE.search(name):
        return "audio in a Kaldi archive; copy it to audio files with wav-copy"
    return ""


def listed_row(row: Row) -> Row | str:
    """A row whose audio is a list of files, with that list as text.

    Such files hold the channels of one recording, one each, as in NeMo's manifests. Where a column
    of the row chooses one of them, the row names that one alone.

    Returns:
        the row, or what is wrong with it.
    """
    column = next((name for name in AUDIO_COLUMNS if row.get(name) is not None), "")
    files = row.get(column)
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        return row
    if len(files) == 1:
        return {**row, column: files[0]}
    try:
        channel = channel_of(row)
    except BadRow as error:
        return error.message
    if not isinstance(channel, int):
        return {**row, column: list_text(files)}
    if 0 <= channel < len(files):
        return {**row, column: files[channel], "audio_channel": "mix"}
    return (
        f"{column} is a list of {len(files)} files, the channels of one recording, and channel "
        f"{channel} is none of them; channels count from 0"
    )
