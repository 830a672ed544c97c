"""Rows of Parquet and Arrow files: those that are asked for, in memory that the file cannot choose.

A few kilobytes of Parquet can stand for gigabytes: a value that a dictionary holds once may be
meant by every row. Rows are therefore read in batches that are small enough for the largest value
that a column's dictionary can hold. Lists of numbers that are too large on average, and that take
far more memory than their file, are not read at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from actors.columnar.arrow_stream import ArrowStream
from actors.columnar.chunk_sizes import group_sizes, leaf_chunks
from actors.columnar.dictionaries import ColumnChunk, Large, replace_large_values
from actors.columnar.shared_groups import Batches, file_state, shared_group
from actors.columnar.value_bounds import TOO_LARGE, bounded, bounded_table, joined, limit_of
from actors.columnar.views import plain_batch, plain_schema, plain_table
from actors.prefetch.held_objects import held_object
from actors.storage.fetch import require_regular
from actors.storage.file_systems import split_uri

Share = Literal["nothing", "parts", "wholes"]
_BATCH_ROWS = 4096
_BATCH_BYTES = 256 << 20
_SHARED_BYTES = 1 << 20  # less is read as fast again as it is looked for
_BUFFER_BYTES = 8 << 20
_FOOTERS = 4
_footers: dict[tuple[str, str | None], pq.FileMetaData] = {}  # of the files that units lie in


def open_parquet(uri: str) -> pq.ParquetFile:
    """Open a Parquet file on any file system without reading its data."""
    return pq.ParquetFile(_open(uri))


def read_file_rows(
    uri: str,
    start: int,
    stop: int,
    columns: list[str] | None = None,
    limits: Mapping[str, int] | None = None,
    paths_only: Sequence[str] = (),
) -> pa.Table:
    """Rows ``start`` to ``stop`` of a Parquet or Arrow file, and little more of it.

    Values that are too large are left out, see `bounded`. Of columns in `paths_only` a file with
    an `id` gives paths, but no bytes: without one, all that a row holds is part of its id.
    """
    if uri.endswith(".arrow"):
        with ArrowStream(uri) as file:
            table = file.read(start, stop, columns)
            return bounded_table(plain_table(table), limits)
    return read_parquet_rows(uri, start, stop, columns, limits, paths_only, "parts")


def read_parquet_rows(
    uri: str,
    start: int,
    stop: int,
    columns: list[str] | None = None,
    limits: Mapping[str, int] | None = None,
    paths_only: Sequence[str] = (),
    share: Share = "nothing",
) -> pa.Table:
    """Rows ``start`` to ``stop`` of a Parquet file, reading only the row groups they lie in.

    Groups of which others of this machine want other rows may be shared, see `shared_groups`.
    """
    with _parquet(uri, start, stop, columns, limits, paths_only, share) as rows:
        batches = [bounded(batch, limits, rows.swapped) for batch in rows.batches(_BATCH_ROWS)]
        return joined(batches, rows.schema)


def file_batches(
    uri: str, stop: int, columns: list[str] | None, most_rows: int = _BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The first ``stop`` rows of a Parquet or Arrow file in order, a batch in memory at a time.

    Where all columns are read, those who read the rows anew find the first groups shared.
    """
    if not uri.endswith(".arrow"):
        share: Share = "nothing" if columns else "wholes"
        with _parquet(uri, 0, stop, columns, share=share) as rows:
            for batch in rows.batches(most_rows):
                yield bounded(batch, None, rows.swapped)
        return
    left = stop
    with ArrowStream(uri) as file:
        for batch in file.iter_batches(most_rows, columns):
            yield bounded(plain_batch(batch.slice(0, left)))
            left -= batch.num_rows
            if left <= 0:
                return


@contextmanager
def _parquet(
    uri: str,
    start: int,
    stop: int,
    columns: list[str] | None,
    limits: Mapping[str, int] | None = None,
    paths_only: Sequence[str] = (),
    share: Share = "nothing",
) -> Iterator[_ParquetRows]:
    raw = _open(uri)
    state = file_state(raw) if share != "nothing" else None
    with pq.ParquetFile(raw, metadata=_footers.get((uri, state))) as file:
        if state:
            _keep_footer((uri, state), file.metadata)
        rows = _ParquetRows(uri, file, start, stop, columns, None, paths_only, limits, state, share)
        shared, chunks = rows.shared(), rows.oversized(limits)
        if not shared and not chunks:
            yield rows
            return
    raw, swapped = replace_large_values(_open(uri), chunks)
    with raw, pq.ParquetFile(raw, read_dictionary=shared) as file:
        yield _ParquetRows(uri, file, start, stop, columns, swapped, paths_only, limits)


def _open(uri: str, cache: str = "readahead") -> BinaryIO:
    if held := held_object(uri):
        return held.open()
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        require_regular(path)
    file: BinaryIO = fs.open(path, "rb", cache_type=cache)
    return file


def _keep_footer(key: tuple[str, str], footer: pq.FileMetaData) -> None:
    """Remember a footer: it may be larger than what a unit wants of the file."""
    if key not in _footers:
        while len(_footers) >= _FOOTERS:
            _footers.pop(next(iter(_footers)), None)
        _footers[key] = footer


def _without_sounds(file: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    """All leaves but bytes of columns of which no more than a path travels."""
    kept = []
    for field in file.schema_arrow:
        if field.name not in names or pa.types.is_string(field.type):
            kept.append(field.name)
        elif pa.types.is_struct(field.type) and field.type.get_field_index("path") >= 0:
            kept.append(f"{field.name}.path")
    return kept


class _ParquetRows:
    """Rows of an open file, the largest number at once that surely fits."""

    def __init__(
        self,
        uri: str,
        file: pq.ParquetFile,
        start: int,
        stop: int,
        columns: list[str] | None,
        swapped: Mapping[bytes, Large] | None,
        paths_only: Sequence[str],
        limits: Mapping[str, int] | None,
        state: str | None = None,
        share: Share = "nothing",
    ) -> None:
        self.swapped = swapped or {}
        self._uri, self._state, self._share = uri, state, share
        if paths_only and "id" in file.schema_arrow.names:
            columns = _without_sounds(file, paths_only)
        self._file, self._start, self._stop, self._columns = file, start, stop, columns
        self._limits = limits
        names = None if columns is None else {name.partition(".")[0] for name in columns}
        kept = [field for field in file.schema_arrow if names is None or field.name in names]
        self.schema = plain_schema(pa.schema(kept))
        self._groups: list[tuple[int, int]] = []
        before = 0
        for group in range(file.metadata.num_row_groups):
            after = before + file.metadata.row_group(group).num_rows
            if before < stop and after > start:
                self._groups.append((group, before))
            before = after
        numbers = [group for group, _ in self._groups]
        self._leaves = leaf_chunks(uri, file.metadata, numbers, columns)

    def shared(self) -> list[str]:
        """Leaves that are lists of what may be one large value."""
        return sorted({leaf.path for leaf in self._leaves if leaf.is_many})

    def oversized(self, limits: Mapping[str, int] | None) -> list[ColumnChunk]:
        """Chunks whose dictionary is to be looked through before it is read."""
        return [
            ColumnChunk(*leaf.oversized, limit_of(leaf.path.partition(".")[0], limits))
            for leaf in self._leaves
            if leaf.oversized
        ]

    def batches(self, most_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in order, in batches of at most `most_rows`."""
        for group, before in self._groups:
            row_bytes = sum(
                leaf.row_bytes
                for leaf in self._leaves
                if leaf.group == group and not (self.swapped and leaf.oversized)
            )
            size = max(1, min(most_rows, _BATCH_BYTES // max(row_bytes, 1)))
            heavy = self._heavy(group)
            for at, read in self._of_group(group, before, size, self._without(heavy)):
                batch = self._noted(read, heavy, at) if heavy else read
                first, last = max(self._start - at, 0), min(self._stop - at, batch.num_rows)
                if first < last:
                    yield batch.slice(first, last - first)
                if at + batch.num_rows >= self._stop:
                    return

    def _of_group(self, group: int, before: int, size: int, columns: list[str] | None) -> Batches:
        """Batches of a group and their first rows; of a shared one those that are wanted."""
        rows, packed, unpacked = group_sizes(self._file.metadata, group, columns)
        wanted = min(self._stop, before + rows) - max(self._start, before)
        ahead = self._share == "wholes"
        is_shared = wanted == rows if ahead else 2 * wanted <= rows
        found = None
        if self._state and packed >= _SHARED_BYTES and is_shared:
            key = json.dumps([self._uri, self._state, group, columns])
            found = shared_group(
                key, lambda: self._all(group, size, columns), packed, unpacked, ahead
            )
        if found is None:
            batches = group_batches(self._file, group, size, columns)
        else:
            batches = found.batches(max(self._start - before, 0), size)
        return ((before + at, batch) for at, batch in batches)

    def _all(self, group: int, size: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """The whole of a group, in the memory of a page of it."""
        with pq.ParquetFile(
            _open(self._uri, "none"), metadata=self._file.metadata, buffer_size=_BUFFER_BYTES
        ) as file:
            yield from (batch for _, batch in group_batches(file, group, size, columns))

    def _heavy(self, group: int) -> dict[str, int]:
        """Columns that are not to be read, and what a row of them takes on average."""
        found = {}
        for leaf in self._leaves:
            name = leaf.path.partition(".")[0]
            is_too_large = leaf.row_bytes > limit_of(name, self._limits)
            if leaf.group == group and leaf.is_dense and is_too_large:
                found[name] = leaf.row_bytes
        return found

    def _without(self, heavy: Mapping[str, int]) -> list[str] | None:
        if not heavy:
            return self._columns
        names = self.schema.names if self._columns is None else self._columns
        return [name for name in names if name.partition(".")[0] not in heavy]

    def _noted(self, batch: pa.RecordBatch, heavy: Mapping[str, int], at: int) -> pa.RecordBatch:
        """A batch with nulls for what was not read, whose row number stands in hashes."""
        rows = range(at, at + batch.num_rows)
        notes = [
            json.dumps({name: [size, {"row": row}] for name, size in heavy.items()}) for row in rows
        ]
        columns = {
            field.name: pa.nulls(len(rows), field.type)
            if field.name in heavy
            else batch.column(field.name)
            for field in self.schema
            if field.name != TOO_LARGE
        }
        columns[TOO_LARGE] = pa.array(notes, pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def group_batches(
    file: pq.ParquetFile, group: int, size: int, columns: list[str] | None
) -> Batches:
    """Batches of a group in order, and the first row of each."""
    done = 0
    is_large = group_sizes(file.metadata, group, columns)[1] >= _SHARED_BYTES
    while True:
        at = 0
        try:
            for batch in file.iter_batches(
                size, row_groups=[group], columns=columns, use_threads=is_large
            ):
                at += batch.num_rows
                if at > done:
                    rest = batch.slice(max(done - at + batch.num_rows, 0))
                    yield done, plain_batch(rest)
                    done = at
            return
        except pa.ArrowNotImplementedError:  # texts and bytes of more than 2 GiB in a batch
            if size == 1:
                raise
            size = max(size // 8, 1)
