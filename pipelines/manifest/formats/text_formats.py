"""The text formats of manifests: JSONL, CSV/TSV and plain text to tables, one row a line.

A line that cannot be understood becomes a row that fails with its line number, and costs no other
row anything. So does a text that is not valid Unicode: replacing its letters in silence would
change paths and words.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actors.batch.names import FAULT_COLUMN
from pipelines.manifest.formats.delimited import parse_delimited
from pipelines.manifest.formats.json_arrays import (
    MOST_VALUES,
    BrokenObject,
    has_too_many_values,
    is_spread,
    spread_objects,
)
from pipelines.manifest.tables.audio_names import is_audio_name
from pipelines.manifest.tables.row_tables import (
    NumberedRows,
    Row,
    fault_row,
    is_unicode,
    table_of_dicts,
    table_of_rows,
)
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_ids import with_text_ids
from pipelines.manifest.tables.text_lines import (
    CharacterCount,
    LongLine,
    TextFile,
    lines_of,
    long_line_message,
    text_file,
)
from pipelines.manifest.toolkits.json_rows import LAYOUTS, layout_of, listed_row, named_row
from pipelines.manifest.toolkits.lhotse import is_lhotse, lhotse_row, unread_fields
from uniaudio2.shown import listed

Parse = Callable[[TextFile | bytes, Scan | None], pa.Table]
_SPREAD = "is JSON that is no line a row: the objects of its array are the rows"
_MOST_UNREAD = 1000  # names of fields may be anything


def parse_jsonl(
    data: TextFile | bytes,
    scan: Scan | None = None,
    prepare: Callable[[Row], Row] | None = None,
) -> pa.Table:
    """One JSON object a line, or the objects of a JSON array however it is laid out.

    What is no object becomes a row that fails with its line number.

    Args:
        data: the text.
        scan: how many rows suffice; it is told what was understood.
        prepare: makes of an object the one that is to be read.
    """
    file, scan = text_file(data), scan or Scan()
    objects = _Objects(not scan.names and not scan.ids_from, prepare)
    found: set[str] = set()

    def read(meter: CharacterCount) -> NumberedRows:
        texts = file.texts(meter)
        start = next(texts)
        texts = itertools.chain([start], texts)
        if not is_spread(start):
            for number, line in lines_of(file, meter, texts):
                yield number, _json_row(line, number, objects)
            return
        found.add(_SPREAD)
        for number, value in spread_objects(texts):
            yield number, objects.row(value, number)

    table = table_of_rows(read, scan)
    if found:
        scan.noticed.understood(file.name, _SPREAD)
    scan.noticed.unread("Lhotse cuts", objects.unread)
    for layout in sorted(objects.layouts):
        names = [f"{name} as {column}" for name, column in LAYOUTS[layout].items()]
        scan.noticed.understood(file.name, f"is {layout}'s, whose {listed(names)} are taken")
    return table


def objects_of(file: TextFile) -> Iterator[Any]:
    """The values of JSON lines or of an array; None for those that are none."""
    texts = file.texts()
    start = next(texts)
    texts = itertools.chain([start], texts)
    if is_spread(start):
        yield from (value for _, value in spread_objects(texts) if isinstance(value, dict))
        return
    for _, line in lines_of(file, None, texts):
        try:
            yield json.loads(line.rstrip(" \t,") if isinstance(line, str) else "")
        except (ValueError, RecursionError):
            yield None


def _json_row(line: str | LongLine, number: int, objects: _Objects) -> Row | str:
    """The object of a line, or what is wrong with it."""
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
    return objects.row(row, number)


@dataclass
class _Objects:
    """Makes rows of objects, and knows what was found in them.

    Args:
        takes_names: fields of known toolkits get the names that are read.
        prepare: makes of an object the one that is to be read.

    Attributes:
        unread: fields that are not used.
        layouts: toolkits whose objects there were.
        held: whether Lhotse's recordings hold their sounds; None before the first.
    """

    takes_names: bool
    prepare: Callable[[Row], Row] | None = None
    unread: set[str] = field(default_factory=set)
    layouts: set[str] = field(default_factory=set)
    held: bool | None = None

    def row(self, value: Any, number: int) -> Row | str:
        """An object as a row, or what is wrong with it."""
        if isinstance(value, BrokenObject):
            return str(value)
        if not isinstance(value, dict):
            return f"a {type(value).__name__}, not an object"
        found = self._read(value)
        name = value.get("id") or value.get("key")
        if isinstance(found, str) and name and isinstance(name, str):
            return fault_row(name, f"line {number}: {found}")
        return found

    def _read(self, value: Row) -> Row | str:
        value = self.prepare(value) if self.prepare else value
        if is_lhotse(value):
            if len(self.unread) < _MOST_UNREAD:
                self.unread.update(unread_fields(value))
            return self._alike(lhotse_row(value))
        layout = layout_of(value) if self.takes_names else None
        if layout is None:
            return listed_row(value)
        self.layouts.add(layout)
        return named_row(value, layout)

    def _alike(self, row: Row | str) -> Row | str:
        """A row, or why it cannot stand with others: a column holds names or sounds, not both."""
        if isinstance(row, str):
            return row
        self.held = isinstance(row["audio"], bytes) if self.held is None else self.held
        if isinstance(row["audio"], bytes) == self.held:
            return row
        return (
            "a sound in memory among recordings in files, or the other way round; keep either kind "
            "in a manifest of its own"
        )


def _parse_delimited(usual: str) -> Parse:
    read = parse_delimited(usual)

    def parse(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
        return read(text_file(data), scan or Scan())

    return parse


def parse_lines(data: TextFile | bytes, scan: Scan | None = None) -> pa.Table:
    """A text file: one row a line, blank lines left out, with the number of the line.

    A line that is put in front changes the numbers of all, so a row's id is made of its text and of
    how often that came before.
    """
    file, scan = text_file(data), scan or Scan()
    others = 0

    def read(meter: CharacterCount) -> NumberedRows:
        nonlocal others
        for number, line in lines_of(file, meter):
            others += isinstance(line, LongLine) or not is_audio_name(line.rstrip())
            told = (
                long_line_message(line)
                if isinstance(line, LongLine)
                else {"line": number, "text": line}
            )
            yield number, told

    table = table_of_rows(read, scan)
    if table.num_rows and not others:
        scan.noticed.doubt(
            "audio", "its lines are paths of audio: --format paths (manifest.format) takes them so"
        )
    is_given = scan.ids or scan.ids_from or scan.ids_before.former
    return table if is_given else with_text_ids(table, scan.texts)


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
