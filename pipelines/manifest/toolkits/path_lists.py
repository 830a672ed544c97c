"""Lists of files, a line each: plain paths, GPT-SoVITS's with speaker, language and text, and
WeNet's of tars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pyarrow as pa

from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import NumberedRows, Row, table_of_rows
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import (
    CharacterCount,
    LongLine,
    TextFile,
    lines_of,
    long_line_message,
    text_file,
)

SUFFIXES = (".list", ".lst")
ListKind = Literal["objects", "spoken", "tars", "paths"]
_SPOKEN = ("audio", "speaker", "language", "text")
_BAR = "|"


def list_kind(file: TextFile) -> ListKind | None:
    """Tell by its first line what a list holds; None where that says nothing."""
    line = next((line for _, line in lines_of(file)), "")
    if not isinstance(line, str):
        return None
    line = line.strip()
    cells = line.split(_BAR)
    if line.startswith(("{", "[")):
        return "objects"
    if len(cells) == len(_SPOKEN) and is_audio_name(cells[0].strip()):
        return "spoken"
    if line.lower().endswith(".tar"):
        return "tars"
    return "paths" if is_audio_name(line) else None


def parse_paths(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
    """A file whose lines are paths of audio: each is its row's `audio`, and its id."""
    return _parse(data, scan, lambda line: {"id": line, "audio": line})


def parse_spoken(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
    """A list of GPT-SoVITS: ``path|speaker|language|text``."""

    def row(line: str) -> Row | str:
        cells = [cell.strip() for cell in line.split(_BAR)]
        if len(cells) != len(_SPOKEN):
            return f"{len(cells)} cells; a line is {_BAR.join(_SPOKEN)}, as the first one is"
        return {"id": cells[0], **dict(zip(_SPOKEN, cells, strict=True))}

    return _parse(data, scan, row)


def listed_names(file: TextFile) -> list[str]:
    """The lines of a list, but those that are too long to be paths."""
    return [line.strip() for _, line in lines_of(file) if isinstance(line, str)]


def _parse(data: TextFile | bytes, scan: Scan | None, row: Callable[[str], Row | str]) -> pa.Table:
    file = text_file(data)

    def read(meter: CharacterCount) -> NumberedRows:
        for number, line in lines_of(file, meter):
            if isinstance(line, LongLine):
                yield number, long_line_message(line)
            else:
                yield number, row(line.strip())

    return table_of_rows(read, scan or Scan())
