"""Make few large parts of many small ones, so that what reads an OUTPUT opens few files."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from actors.batch.receipt import FileMark, file_mark
from actors.stages.part_file import GROUP_ROWS, UNITS_KEY, PartFile, Units, store
from actors.storage.object_store import Storage

_NUMBER = re.compile(r"part-(\d+)-")

Marked = tuple[str, FileMark]


class PartChanged(ValueError):
    """A part is not what its commit record says."""


@dataclass(frozen=True)
class MergedParts:
    """What was made of small parts; nothing of it is visible before a commit.

    Attributes:
        data: paths of data parts.
        error_parts: paths of errors parts.
        ok: rows in the former.
        errors: rows in the latter.
        files: size and hash of each part.
    """

    data: tuple[str, ...]
    error_parts: tuple[str, ...]
    ok: int
    errors: int
    files: dict[str, FileMark]


def merge_parts(
    output: str, unit: int, data: Sequence[Marked], errors: Sequence[Marked]
) -> MergedParts:
    """Write the rows of parts, in their order, into as few parts as their columns allow.

    Parts of one kind whose columns differ, such as those of two builds, stay apart. Row groups have
    at most `GROUP_ROWS` rows, and the footer says which unit each row is of.

    Args:
        output: OUTPUT of the run.
        unit: number that the new parts are named by.
        data: paths of data parts, with the size and hash that their records tell.
        errors: of errors parts, likewise.

    Raises:
        PartChanged: a part is missing, or not what its record says.
        OSError: storage failed.
    """
    storage = Storage(output)
    made = list(_merged(storage, f"data/part-{unit:08d}", data))
    failed = list(_merged(storage, f"errors/part-{unit:08d}", errors))
    return MergedParts(
        data=tuple(path for path, _, _ in made),
        error_parts=tuple(path for path, _, _ in failed),
        ok=sum(rows for _, _, rows in made),
        errors=sum(rows for _, _, rows in failed),
        files={path: mark for path, mark, _ in (*made, *failed)},
    )


def _merged(
    storage: Storage, begin: str, parts: Sequence[Marked]
) -> Iterator[tuple[str, FileMark, int]]:
    """Write parts that belong together as one; yields path, mark and rows of each."""
    part: _Part | None = None
    for path, mark in parts:
        table, units = _read(storage, path, mark)
        if part is not None and not part.schema.equals(table.schema):
            yield part.store(storage, begin)
            part = None
        part = part or _Part(table.schema)
        part.add(table, units)
    if part is not None:
        yield part.store(storage, begin)


def _read(storage: Storage, path: str, mark: FileMark) -> tuple[pa.Table, Units]:
    try:
        contents = storage.read(path, int(mark[0]))
    except (FileNotFoundError, ValueError) as fault:
        raise PartChanged(f"{path} is missing, or is not what was written") from fault
    if file_mark(contents) != list(mark):
        raise PartChanged(f"{path} differs from its commit record")
    with pq.ParquetFile(io.BytesIO(contents)) as file:
        table = file.read(use_threads=False).replace_schema_metadata(None)
        merged = (file.metadata.metadata or {}).get(UNITS_KEY)
    if merged:
        return table, json.loads(merged)
    found = _NUMBER.search(path)
    return table, [(int(found[1]) if found else 0, table.num_rows)]


class _Part:
    """One part in the making."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._file = PartFile(schema)
        self._waiting: list[pa.Table] = []
        self._units: list[tuple[int, int]] = []

    def add(self, table: pa.Table, units: Units) -> None:
        self._waiting.append(table)
        self._units.extend(units)
        if sum(waiting.num_rows for waiting in self._waiting) >= GROUP_ROWS:
            rows = pa.concat_tables(self._waiting)
            whole = len(rows) - len(rows) % GROUP_ROWS
            self._file.add(rows.slice(0, whole))
            self._waiting = [rows.slice(whole)]

    def store(self, storage: Storage, begin: str) -> tuple[str, FileMark, int]:
        self._file.add(pa.concat_tables(self._waiting))
        path = f"{begin}-{uuid.uuid4().hex[:8]}.parquet"
        mark = store(storage, path, self._file.close(self._units))
        return path, mark, sum(rows for _, rows in self._units)
