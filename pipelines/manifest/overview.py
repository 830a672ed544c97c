"""What is understood of an INPUT, from a look at its beginnings: kinds, rows, columns, a first row.

Of Parquet and Arrow files the footers and headers tell; of a text no more is read than a plan reads
in any case, and its lines are counted.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from actors.batch.names import (
    AUDIO_COLUMNS,
    CHANNEL_COLUMNS,
    CODE_SOURCES,
    FAULT_COLUMN,
    SPAN_COLUMNS,
)
from actors.columnar.cells import shown_rows
from actors.columnar.column_names import ID, ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import file_batches
from actors.columnar.value_bounds import TOO_LARGE, has_bytes
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.files import line_count
from pipelines.manifest.naming import named_sources
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.aliases import serving
from pipelines.manifest.tables.packing import without_packing
from pipelines.manifest.tables.scan import Scan
from uniaudio2.tasks.table import TASKS

_MARKS = (FAULT_COLUMN, TOO_LARGE)
_ROWS = 1000  # that suffice for a look
_LEAST_CHARACTERS = 1 << 14  # of each file, however many there are
_NEEDS = {"audio": (*AUDIO_COLUMNS, *CODE_SOURCES), "text": ("text",)}
_KINDS = {
    ".parquet": "Parquet", ".arrow": "Arrow stream", ".tar": "tar of samples",
    ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON", ".csv": "CSV",
    ".tsv": "TSV", ".txt": "lines of text",
}  # fmt: skip
_LINES = {".jsonl": 0, ".ndjson": 0, ".txt": 0, ".csv": 1, ".tsv": 1}  # lines that are no row
_TEXTS = ("text", "caption", "lyric", "question", "instruction")
_USES: dict[str, str] = (
    {ID: "the row's id"}
    | dict.fromkeys(AUDIO_COLUMNS, "audio")
    | dict.fromkeys(SPAN_COLUMNS, "span of the audio")
    | dict.fromkeys(CHANNEL_COLUMNS, "channel of the audio")
    | dict.fromkeys(CODE_SOURCES, "codes")
    | {name: name for name in _TEXTS}
)
_TRAVELS = "travels to the results"


@dataclass(frozen=True)
class Column:
    """A column of an INPUT.

    Attributes:
        name: in its files.
        kind: type of its values.
        use: what it is taken for.
    """

    name: str
    kind: str
    use: str


@dataclass(frozen=True)
class Overview:
    """What is understood of an INPUT.

    Attributes:
        uri: INPUT.
        kinds: number of files of each kind.
        rows: how many there are; `rows_are` says how well that is known.
        rows_are: "exact", "about" where lines were counted, "at least" where a part was read.
        faults: rows of those that were looked at which cannot be read.
        columns: of all files.
        tasks: those whose columns are there.
        left_out: files that give no row, a line for each reason.
        notes: what else a user should know, a line each.
        first_row: values by column; sounds that a file holds are not read.
    """

    uri: str
    kinds: Mapping[str, int]
    rows: int
    rows_are: str
    faults: int
    columns: tuple[Column, ...]
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    first_row: Mapping[str, Any]


class _Look(Scan):
    """A scan that takes the beginning of every file."""

    def take(self, rows: int, characters: int = 0, cells: int = 0) -> None:
        """Count what a source gave; the next one gives rows, too."""
        del rows, cells
        self.characters = max(self.characters - characters, _LEAST_CHARACTERS)


def overview_of(uri: str, scan: Scan | None = None) -> Overview:
    """Look at an INPUT.

    Args:
        uri: a file, a folder or a glob, local or on any fsspec file system.
        scan: what is given of how it is read; how many rows of it are wanted is chosen here.

    Raises:
        UsageError: nothing is there, its kind is not known, or it has no rows.
    """
    given = vars(scan) if scan else {}
    look = _Look(**{**given, "rows": _ROWS})
    sources = [source for source in find_sources(uri, look) if source.rows]
    if not sources:
        raise UsageError(f"{uri}: the manifest has no rows; nothing to do")
    sources = named_sources(sources, uri, _NEEDS, look)
    counted = [_rows_of(source) for source in sources]
    certain = {how for _, how in counted}
    names = dict.fromkeys(name for source in sources for name in source.schema.names)
    return Overview(
        uri,
        dict(Counter(map(_kind_of, sources))),
        sum(rows for rows, _ in counted),
        next(how for how in ("at least", "about", "exact") if how in certain),
        sum(map(_faults_of, sources)),
        tuple(_columns_of(sources)),
        tuple(
            name
            for name, task in TASKS.items()
            if all(names.keys() & {column, *serving(column, task)} for column in task.columns)
        ),
        tuple(map(str, look.noticed.left_out)),
        look.noticed.notes(),
        {
            name: value
            for name, value in _first_row(sources[0]).items()
            if value is not None or name not in _MARKS
        },
    )


def _suffix(source: Source) -> str:
    return posixpath.splitext(without_packing(source.uri.lower()))[1]


def _kind_of(source: Source) -> str:
    if source.uri.endswith("/"):
        is_audio = set(source.schema.names) <= {ID, "audio", FAULT_COLUMN}
        return "folder of audio" if is_audio else "folder"
    packed = " (packed)" if without_packing(source.uri) != source.uri else ""
    return _KINDS.get(_suffix(source), "audio file") + packed


def _rows_of(source: Source) -> tuple[int, str]:
    """Rows of a source, and how well that is known."""
    if source.table is None or source.rows < _ROWS:
        return source.rows, "exact"
    suffix = _suffix(source)
    if suffix in _LINES and without_packing(source.uri) == source.uri:
        lines = line_count(source.uri)
        if lines is not None:
            return max(lines - _LINES[suffix], source.rows), "about"
    return source.rows, "at least"


def _faults_of(source: Source) -> int:
    table = source.table
    if table is None or FAULT_COLUMN not in table.column_names:
        return 0
    return int(table.num_rows - table[FAULT_COLUMN].null_count)


def _columns_of(sources: list[Source]) -> Iterator[Column]:
    """Columns of all sources, each once, by their own names."""
    seen: set[str] = set()
    for source in sources:
        names = ColumnNames.of_text(source.names)
        own = {new: old for old, new in names.renamed.items()}
        for field in source.schema:
            name = own.get(field.name, field.name)
            is_made = field.name == ID and (names.place or names.ids_from)
            if name in seen or field.name in _MARKS or is_made:
                continue
            seen.add(name)
            use = _USES.get(field.name) or (field.name if field.name != name else _TRAVELS)
            also = "; the row's id" if name == names.ids_from else ""
            yield Column(name, str(field.type), use + also)


def _first_row(source: Source) -> dict[str, Any]:
    if source.table is not None:
        (row,) = shown_rows(source.table.slice(0, 1))
        return row
    names = ColumnNames.of_text(source.names)
    held = {field.name for field in source.schema if has_bytes(field.type)}
    wanted = [name for name in source.schema.names if name not in held]
    constant = constants_schema(source.constants).names
    own = [name for name in names.own(wanted) or [] if name not in constant]
    batches = file_batches(source.uri, 1, own or source.schema.names[:1], 1)
    table = with_constants(pa.Table.from_batches(islice(batches, 1)), source.constants)
    (row,) = shown_rows(names.table(table))
    return {name: row.get(name, "<not read>") for name in source.schema.names}
