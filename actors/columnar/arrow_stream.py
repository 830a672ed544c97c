"""Arrow stream files (what `datasets` saves), read from any row on without the rows before it.

A stream has no index. Its messages say how long they are, so the headers of record batches are
read and their bodies skipped, on local disk and object storage alike.

Source: the encapsulated message format of Apache Arrow; offsets inside a header are those of its
flatbuffer tables Message (header, bodyLength) and RecordBatch (length).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.storage.fetch import require_regular
from actors.storage.file_systems import split_uri

_CONTINUES = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_MAX_HEADER_BYTES = 64 << 20
_MAX_BATCH_BYTES = 4 << 30
_MAX_UNPACKED_BYTES = 1 << 30


@dataclass(frozen=True)
class _Batch:
    """A record batch in the file: its first byte, its size and its rows."""

    offset: int
    size: int
    rows: int


class ArrowStream:
    """An Arrow stream file by its headers; the part of `pyarrow.parquet.ParquetFile` we need.

    Args:
        uri: a local path, or a URL of any fsspec file system.

    Raises:
        pa.ArrowInvalid: the file is no Arrow stream, is cut, or holds dictionaries.
    """

    def __init__(self, uri: str) -> None:
        fs, path = split_uri(uri)
        if isinstance(fs, LocalFileSystem):
            require_regular(path)
        self._file: BinaryIO = fs.open(path, "rb", cache_type="readahead")
        try:
            self._size = self._file.seek(0, 2)
            self._file.seek(0)
            self.schema, self._batches = self._scan()
        except (struct.error, IndexError) as fault:
            self._file.close()
            raise pa.ArrowInvalid(
                "not an Arrow stream: a header points outside the file"
            ) from fault
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ArrowStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def num_rows(self) -> int:
        return sum(batch.rows for batch in self._batches)

    def iter_batches(
        self, batch_size: int, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Every row in order, in batches of at most `batch_size`."""
        for entry in self._batches:
            batch = self._read(entry, columns)
            for start in range(0, batch.num_rows, batch_size):
                yield batch.slice(start, batch_size)

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> pa.Table:
        """Rows ``start`` to ``stop``, reading only the record batches they lie in."""
        wanted, before = [], 0
        for entry in self._batches:
            first, last = max(start - before, 0), min(stop - before, entry.rows)
            if first < last:
                wanted.append(self._read(entry, columns).slice(first, last - first))
            before += entry.rows
        schema = self.schema if columns is None else pa.schema(map(self.schema.field, columns))
        return pa.Table.from_batches(wanted, schema)

    def _read(self, batch: _Batch, columns: list[str] | None) -> pa.RecordBatch:
        try:
            return self._batch(batch, columns)
        except (struct.error, IndexError) as fault:
            raise pa.ArrowInvalid(
                "not an Arrow stream: a header points outside the file"
            ) from fault

    def _batch(self, batch: _Batch, columns: list[str] | None) -> pa.RecordBatch:
        self._file.seek(batch.offset)
        data = self._file.read(batch.size)
        _check_unpacked(data)
        message = pa.ipc.read_message(pa.py_buffer(data))
        whole = pa.ipc.read_record_batch(message, self.schema)
        whole.validate(full=True)  # offsets beyond their buffers would end this process later
        return whole if columns is None else whole.select(columns)

    def _scan(self) -> tuple[pa.Schema, list[_Batch]]:
        schema, batches = None, []
        while (head := self._next_header()) is not None:
            begin, kind, rows, size = head
            if begin + size > self._size:  # before anything so long is read
                raise pa.ArrowInvalid(
                    f"the file ends at byte {self._size}, inside a message of {size} bytes"
                )
            if kind == _SCHEMA:
                schema = self._read_schema(begin, size)
            elif kind == _BATCH:
                _check_size(size, _MAX_BATCH_BYTES)
                batches.append(_Batch(begin, size, rows))
            elif kind == _DICTIONARY:
                raise pa.ArrowInvalid("dictionary columns; save them as plain text or as Parquet")
            self._file.seek(begin + size)
        if schema is None:
            raise pa.ArrowInvalid("not an Arrow stream: it has no schema")
        return schema, batches

    def _read_schema(self, begin: int, size: int) -> pa.Schema:
        self._file.seek(begin)
        try:
            return pa.ipc.read_schema(pa.py_buffer(self._file.read(size)))
        except OSError as fault:
            raise pa.ArrowInvalid(f"not an Arrow stream: {fault}") from fault

    def _next_header(self) -> tuple[int, int, int, int] | None:
        """First byte, kind, rows and whole size of the next message; None at the end."""
        begin = self._file.tell()
        prefix = self._file.read(8)
        if not prefix:
            return None
        mark, length = struct.unpack("<II", prefix)
        if mark != _CONTINUES or length > _MAX_HEADER_BYTES:
            raise pa.ArrowInvalid("not an Arrow stream: no message where one should begin")
        if length == 0:
            return None
        data = self._file.read(length)
        message = struct.unpack_from("<I", data)[0]
        kind = _field(data, message, 1, "<B")
        body = _field(data, message, 3, "<q")
        rows = 0
        if kind == _BATCH:
            offset = _slot(data, message, 2)
            rows = _field(data, offset + struct.unpack_from("<I", data, offset)[0], 0, "<q")
        if body < 0 or rows < 0:
            raise pa.ArrowInvalid("not an Arrow stream: a negative length")
        return begin, kind, rows, 8 + length + body


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise pa.ArrowInvalid(
            f"a record batch of {size} bytes; at most {most}: write batches of fewer rows"
        )


def _check_unpacked(data: bytes) -> None:
    """Refuse a batch whose packed buffers say that they unpack to too much."""
    (length,) = struct.unpack_from("<I", data, 4)
    header = data[8 : 8 + length]
    message = struct.unpack_from("<I", header)[0]
    slot = _slot(header, message, 2)
    table = slot + struct.unpack_from("<I", header, slot)[0]
    buffers, packed = _slot(header, table, 2), _slot(header, table, 3)
    if not buffers or not packed:
        return
    vector = buffers + struct.unpack_from("<I", header, buffers)[0]
    (count,) = struct.unpack_from("<I", header, vector)
    total = 0
    for number in range(count):
        begin, size = struct.unpack_from("<qq", header, vector + 4 + 16 * number)
        if size >= 8:
            (unpacked,) = struct.unpack_from("<q", data, 8 + length + begin)
            total += size if unpacked < 0 else unpacked
    _check_size(total, _MAX_UNPACKED_BYTES)


def _slot(data: bytes, table: int, field: int) -> int:
    """Find a field of a flatbuffer table, 0 when it has its default."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * field
    if entry >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, vtable + entry)
    return table + offset if offset else 0


def _field(data: bytes, table: int, field: int, kind: str) -> Any:
    slot = _slot(data, table, field)
    return struct.unpack_from(kind, data, slot)[0] if slot else 0
