"""The text formats of manifests: JSONL, CSV/TSV and plain text to tables, one row a line.

A line that cannot be understood becomes a row that fails with its line number, and costs no other
row anything. So does a text that is not valid Unicode: replacing its letters in silence would
change paths and words.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from actors.load import FAULT_COLUMN
from pipelines.readers.lhotse import is_lhotse, lhotse_row

Row = dict[str, Any]
MAX_COLUMNS = 1000
_DEEPEST = 16
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_END = re.compile(r"\r\n|\n|\r")  # and no other: texts may hold U+2028 and its like


def _decoded(data: bytes) -> str:
    """Text of a file; bytes that are none stay visible as lone surrogates."""
    if data.startswith(_UTF16_MARKS):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def _is_unicode(value: Any) -> bool:
    """Tell whether every text in a value, keys too, can be written as UTF-8."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return all(_is_unicode(item) for pair in value.items() for item in pair)
    return not isinstance(value, list) or all(map(_is_unicode, value))


def _column(values: list[Any]) -> pa.Array:
    """An Arrow column; values of mixed kinds, or of a kind that no file can hold, as JSON text."""
    try:
        array = pa.array(values)
        if _is_storable(array.type):
            return array
    except (pa.ArrowException, ValueError, OverflowError):
        pass
    plain = (str, type(None))
    return pa.array(
        [v if isinstance(v, plain) else json.dumps(v, default=str) for v in values], pa.string()
    )


def _is_storable(kind: pa.DataType, depth: int = 0) -> bool:
    """Parquet takes no struct without fields, Arrow's streams no deep nesting; and lists of nulls
    alone cannot always be joined."""
    if depth and pa.types.is_null(kind):
        return False
    if depth > _DEEPEST or (pa.types.is_struct(kind) and not kind.num_fields):
        return False
    return all(_is_storable(kind.field(place).type, depth + 1) for place in range(kind.num_fields))


def table_of_dicts(rows: list[Row]) -> pa.Table:
    """Rows with differing keys as one table; a column of mixed types becomes JSON text.

    Raises:
        ValueError: more than `MAX_COLUMNS` different keys.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MAX_COLUMNS:
        raise ValueError(
            f"{len(names)} different columns; at most {MAX_COLUMNS}: put what varies into one"
        )
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def table_of_rows(numbered: Iterable[tuple[int, Row | str]]) -> pa.Table:
    """Rows by line number, or what is wrong with the line, as a table."""
    checked = [(number, row, _fault(row)) for number, row in numbered]
    with_ids = any("id" in row for _, row, fault in checked if isinstance(row, dict) and not fault)
    rows = []
    for number, row, fault in checked:
        if isinstance(row, dict) and not fault:
            rows.append(row if row.get("id") is None else {**row, "id": str(row["id"])})
            continue
        failed: Row = {FAULT_COLUMN: f"line {number}: {fault}"}
        # without an id column, ids come from the rows' contents: the number is part of them
        rows.append({"id": f"line-{number}", **failed} if with_ids else failed)
    return table_of_dicts(rows)


def _fault(row: Row | str) -> str | None:
    if isinstance(row, str):
        return row
    if not _is_unicode(row):
        return "text that is not valid UTF-8; save it as UTF-8"
    row_id = row.get("id")
    if isinstance(row_id, bool) or not isinstance(row_id, str | int | None):
        return f"id {str(row_id)[:80]!r} is a {type(row_id).__name__}; give a text or whole number"
    return None


def parse_jsonl(data: bytes) -> pa.Table:
    """One JSON object a line; a line that is none becomes a row that fails with its line number."""
    return table_of_rows((number, _json_row(line, number)) for number, line in lines_of(data))


def lines_of(data: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank."""
    lines = _LINE_END.split(_decoded(data))
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def fault_row(row_id: str, message: str) -> Row:
    """A row that is known by name but cannot be used."""
    return {"id": row_id, FAULT_COLUMN: message}


def _json_row(line: str, number: int) -> Row | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as fault:
        return str(fault)
    if not isinstance(row, dict):
        return f"a {type(row).__name__}, not an object"
    if not is_lhotse(row):
        return row
    found = lhotse_row(row)
    if isinstance(found, str) and row.get("id") and isinstance(row["id"], str):
        return fault_row(row["id"], f"line {number}: {found}")
    return found


def _delimited_rows(reader: csv.DictReader[str]) -> Iterator[tuple[int, Row | str]]:
    while True:
        try:
            row: Row = next(reader)
        except StopIteration:
            return
        except csv.Error as fault:
            yield reader.reader.line_num, str(fault)  # the outer count stopped at the last row
            continue
        if None in row:
            cells = len(row) - 1 + len(row[None])  # type: ignore[index]
            yield reader.line_num, f"{cells} cells under a header of {len(row) - 1}; quote them"
        else:
            yield reader.line_num, row


def _parse_delimited(delimiter: str) -> Callable[[bytes], pa.Table]:
    def parse(data: bytes) -> pa.Table:
        text = io.StringIO(_decoded(data), newline="")
        try:
            reader = csv.DictReader(text, delimiter=delimiter)
            names = list(reader.fieldnames or [])
        except csv.Error as fault:
            raise ValueError(f"the header cannot be read: {fault}") from fault
        if len(set(names)) < len(names) or not _is_unicode(names):
            raise ValueError("the header repeats a name or is not UTF-8; correct its names")
        return table_of_rows(_delimited_rows(reader))

    return parse


def parse_lines(data: bytes) -> pa.Table:
    """A text file: one row a line, blank lines left out, the line number part of the row."""
    return table_of_rows((n, {"line": n, "text": line}) for n, line in lines_of(data))


def unzipped(data: bytes, max_bytes: int) -> bytes:
    """The contents of a gzip file.

    Raises:
        ValueError: it is damaged, or holds more than `max_bytes`.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise ValueError(f"gzip: {fault}; fetch the file again") from fault
    if len(text) > max_bytes:
        raise ValueError(f"unpacks to more than {max_bytes} bytes; a larger manifest fits Parquet")
    return text


def table_of_files(names: list[str]) -> pa.Table:
    """Rows for the audio files of a folder; a name that is not UTF-8 becomes a row that fails."""
    rows: list[Row] = []
    for name in names:
        row: Row = {"id": name, "audio": name}
        if not _is_unicode(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            row = {"id": shown, FAULT_COLUMN: f"file name {shown!r} is not UTF-8; rename it"}
        rows.append(row)
    return table_of_dicts(rows)


PARSERS: dict[str, Callable[[bytes], pa.Table]] = {
    ".jsonl": parse_jsonl,
    ".ndjson": parse_jsonl,
    ".json": parse_jsonl,
    ".csv": _parse_delimited(","),
    ".tsv": _parse_delimited("\t"),
    ".txt": parse_lines,
}
