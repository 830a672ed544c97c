"""The text formats of manifests: JSONL, CSV/TSV and plain text to tables, one row a line.

A line that cannot be understood becomes a row that fails with its line number, and costs no other
row anything. So does a text that is not valid Unicode: replacing its letters in silence would
change paths and words.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from actors.batch.schema import FAULT_COLUMN
from pipelines.manifest.formats.delimited import parse_delimited
from pipelines.manifest.formats.json_arrays import (
    MOST_VALUES,
    BrokenObject,
    has_too_many_values,
    is_spread,
    spread_objects,
)
from pipelines.manifest.tables.row_tables import (
    NumberedRows,
    Row,
    fault_row,
    is_unicode,
    table_of_dicts,
    table_of_rows,
)
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import (
    CharacterCount,
    LongLine,
    TextFile,
    lines_of,
    long_line_message,
    text_file,
)
from pipelines.manifest.toolkits.lhotse import is_lhotse, lhotse_row, unread_fields

Parse = Callable[[TextFile | bytes, Scan | None], pa.Table]
_SPREAD = "is JSON that is no line a row: the objects of its array are the rows"
_MOST_UNREAD = 1000  # names of fields may be anything


def parse_jsonl(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
    """One JSON object a line, or the objects of a JSON array however it is laid out.

    What is no object becomes a row that fails with its line number.
    """
    file, scan = text_file(data), scan or Scan()
    unread: set[str] = set()
    found: set[str] = set()

    def read(meter: CharacterCount) -> NumberedRows:
        texts = file.texts(meter)
        start = next(texts)
        texts = itertools.chain([start], texts)
        if not is_spread(start):
            for number, line in lines_of(file, meter, texts):
                yield number, _json_row(line, number, unread)
            return
        found.add(_SPREAD)
        for number, value in spread_objects(texts):
            yield number, _object_row(value, number, unread)

    table = table_of_rows(read, scan)
    if found:
        scan.noticed.understood(file.name, _SPREAD)
    scan.noticed.unread("Lhotse cuts", unread)
    return table


def _json_row(line: str | LongLine, number: int, unread: set[str]) -> Row | str:
    """The object of a line, or what is wrong with it; `unread` takes fields that are not used."""
    if isinstance(line, LongLine):
        return long_line_message(line)
    if has_too_many_values(line):
        return f"a line of more than {MOST_VALUES} values; keep them in a file that it names"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as fault:
        try:  # perhaps a line of an array without its ends
            row = json.loads(line.rstrip(" \t,"))
        except (ValueError, RecursionError):
            return str(fault)
    return _object_row(row, number, unread)


def _object_row(row: Any, number: int, unread: set[str]) -> Row | str:
    """An object as a row, or what is wrong with it."""
    if isinstance(row, BrokenObject):
        return str(row)
    if not isinstance(row, dict):
        return f"a {type(row).__name__}, not an object"
    if not is_lhotse(row):
        return row
    if len(unread) < _MOST_UNREAD:
        unread.update(unread_fields(row))
    found = lhotse_row(row)
    if isinstance(found, str) and row.get("id") and isinstance(row["id"], str):
        return fault_row(row["id"], f"line {number}: {found}")
    return found


def _parse_delimited(usual: str) -> Parse:
    read = parse_delimited(usual)

    def parse(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
        return read(text_file(data), scan or Scan())

    return parse


def parse_lines(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
    """A text file: one row a line, blank lines left out, the line number part of the row."""
    file = text_file(data)

    def read(meter: CharacterCount) -> NumberedRows:
        for number, line in lines_of(file, meter):
            told = (
                long_line_message(line)
                if isinstance(line, LongLine)
                else {"line": number, "text": line}
            )
            yield number, told

    return table_of_rows(read, scan)


def table_of_files(
    names: list[str], fault_of: Callable[[str], str | None] = lambda _: None
) -> pa.Table:
    """Rows for the audio files of a folder.

    Args:
        names: of the files; one that is not UTF-8 becomes a row that fails.
        fault_of: why a file is not to be read, None where it may be.
    """
    rows: list[Row] = []
    for name in names:
        row: Row = {"id": name, "audio": name}
        fault = fault_of(name)
        if not is_unicode(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            row = {"id": shown, FAULT_COLUMN: f"file name {shown!r} is not UTF-8; rename it"}
        elif fault is not None:
            row = fault_row(name, fault)
        rows.append(row)
    return table_of_dicts(rows)


PARSERS: dict[str, Parse] = {
    ".jsonl": parse_jsonl,
    ".ndjson": parse_jsonl,
    ".json": parse_jsonl,
    ".csv": _parse_delimited(","),
    ".tsv": _parse_delimited("\t"),
    ".txt": parse_lines,
}
