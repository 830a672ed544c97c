"""A unit: the rows of the manifest that are read, computed, written and committed together."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from actors.arrow_stream import ArrowStream
from actors.cells import shown_rows
from actors.fetch import require_regular
from actors.storage import split_uri


@dataclass(frozen=True)
class UnitSpec:
    """Where the rows of a unit are.

    Attributes:
        unit: its number; commit order and file names follow it.
        source: the Parquet or Arrow file that holds the rows, or "" when `rows` carries them.
        start: first row inside the source.
        stop: row after the last.
        base: what relative audio paths are relative to.
        fingerprint: hash of the rows' ids and of the source's identity.
        rows: the rows themselves as an Arrow stream, for small text manifests.
        row: when set, only this row of the unit (used to find the row that kills a worker).
        only: when set, only these rows of the unit (used to try failed rows again).
        kept: address of tokens that an earlier run kept of this unit, or "".
        tar: the tar whose members the rows name by byte ranges, or "".
    """

    unit: int
    source: str
    start: int
    stop: int
    base: str
    fingerprint: str
    rows: bytes = b""
    row: int | None = None
    kept: str = ""
    only: tuple[int, ...] = ()
    tar: str = ""

    @property
    def row_numbers(self) -> tuple[int, ...]:
        """The rows that are to be done, by their places in the unit."""
        if self.row is not None:
            return (self.row,)
        return self.only or tuple(range(self.stop - self.start))

    @property
    def row_count(self) -> int:
        return len(self.row_numbers)

    def to_table(self) -> pa.Table:
        """One Arrow row, as it enters the first stage."""
        return units_table([self])

    def _facts(self) -> str:
        facts = asdict(self)
        del facts["rows"]
        return json.dumps(facts)

    @staticmethod
    def from_table(table: pa.Table) -> UnitSpec:
        """Undo `to_table`."""
        facts: dict[str, Any] = json.loads(table.column("spec")[0].as_py())
        facts["only"] = tuple(facts["only"])
        return UnitSpec(**facts, rows=table.column("rows")[0].as_py())

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """The unit's rows with the manifest's own columns, or those that are named."""
        if self.rows:
            table = pa.ipc.open_stream(self.rows).read_all()
            table = table.select(columns) if columns else table
        else:
            table = read_file_rows(self.source, self.start, self.stop, columns)
        if self.row is not None:
            return table.slice(self.row, 1)
        return table.take(pa.array(self.only, pa.int64())) if self.only else table


def units_table(units: Sequence[UnitSpec]) -> pa.Table:
    """Units as Arrow rows, a row each; `UnitSpec.from_table` reads the first row of a table."""
    specs = pa.array([unit._facts() for unit in units], pa.string())
    rows = pa.array([unit.rows for unit in units], pa.large_binary())
    return pa.table({"spec": specs, "rows": rows})


def to_stream(table: pa.Table) -> bytes:
    """A table as the bytes of an Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def open_parquet(uri: str) -> pq.ParquetFile:
    """Open a Parquet file on any file system without reading its data."""
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        require_regular(path)
    return pq.ParquetFile(fs.open(path, "rb", cache_type="readahead"))


def open_rows(uri: str) -> pq.ParquetFile | ArrowStream:
    """Open a file of rows by its kind: an Arrow stream by its suffix, else Parquet."""
    return ArrowStream(uri) if uri.endswith(".arrow") else open_parquet(uri)


def read_file_rows(uri: str, start: int, stop: int, columns: list[str] | None = None) -> pa.Table:
    """Rows ``start`` to ``stop`` of a Parquet or Arrow file, and little more of it."""
    if uri.endswith(".arrow"):
        with ArrowStream(uri) as file:
            return file.read(start, stop, columns)
    return read_parquet_rows(uri, start, stop, columns)


def read_parquet_rows(
    uri: str, start: int, stop: int, columns: list[str] | None = None
) -> pa.Table:
    """Rows ``start`` to ``stop`` of a Parquet file, reading only the row groups they lie in."""
    with open_parquet(uri) as file:
        wanted, first_row, before = [], None, 0
        for group in range(file.metadata.num_row_groups):
            after = before + file.metadata.row_group(group).num_rows
            if before < stop and after > start:
                wanted.append(group)
                first_row = before if first_row is None else first_row
            before = after
        table = file.read_row_groups(wanted, columns=columns)
        return table.slice(start - (first_row or 0), stop - start)


def _canonical(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"blake2b": hashlib.blake2b(value, digest_size=16).hexdigest()}
    if isinstance(value, dict):
        return {key: _canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def row_hashes(table: pa.Table) -> list[str]:
    """A stable hash of all values of every row, whatever the order of its columns."""
    hashes = []
    for row in shown_rows(table):
        text = json.dumps(_canonical(row), sort_keys=True, default=str)
        data = text.encode("utf-8", "surrogatepass")
        hashes.append(hashlib.blake2b(data, digest_size=10).hexdigest())
    return hashes


def row_ids(table: pa.Table) -> list[str | None]:
    """The id of every row: its `id` column as text, else the hash of all its values.

    A null id stays None; the plan refuses it.

    Raises:
        ValueError: the `id` column holds neither text nor whole numbers.
    """
    if "id" in table.column_names:
        return _column_ids(table.column("id"))
    return list(row_hashes(table))


def _column_ids(column: pa.ChunkedArray) -> list[str | None]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_null)
    if not any(test(kind) for test in known):
        raise ValueError(
            f"column 'id' has type {kind}; ids are text or whole numbers: convert it, or drop it "
            "to get ids from the rows' contents"
        )
    try:
        return [None if value is None else str(value) for value in column.to_pylist()]
    except UnicodeDecodeError as fault:
        raise ValueError(f"column 'id': {fault}; write the ids as UTF-8") from fault
