"""Rows of tars that an OUTPUT keeps: those that are what they were are not read again to go on.

A shard of the plan that is kept has a row for each archive: its address, its size and ETag or time,
all else that its rows depend on, the rows as an Arrow stream, and what was noticed of it as JSON.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from actors.batch.unit import to_stream
from actors.prefetch.spool import Kept, Spool
from pipelines.manifest.tables.scan import ReadArchive

ARCHIVES_VERSION = "archives-1"
_SHARD_BYTES = 32 << 20
_SHARD_ARCHIVES = 4096
_SCHEMA = pa.schema([
    ("uri", pa.string()), ("identity", pa.string()), ("settings", pa.string()),
    ("rows", pa.binary()), ("noticed", pa.string()),
])  # fmt: skip
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Held:
    """An archive's rows, and the shard that they are in."""

    shard: str
    rows: Kept | bytes
    noticed: str


class KeptArchives:
    """What earlier runs kept of archives, and what this one adds.

    Args:
        shards: reads shards that are there, once some archive is asked for: names and bytes.
    """

    def __init__(self, shards: Callable[[], Iterator[tuple[str, bytes]]]) -> None:
        self._shards = shards
        self._held: dict[_Key, _Held] | None = None
        self._lock = threading.Lock()
        self._spool: Spool | None = None
        self._new: list[tuple[_Key, Kept, str]] = []
        self.used: set[str] = set()

    def get(self, uri: str, identity: str, settings: str) -> ReadArchive | None:
        """What was kept of an archive that is what it was; None where it must be read."""
        with self._lock:
            if self._held is None:
                self._held = dict(self._read())
            found = self._held.get((uri, identity, settings))
            if found is None:
                return None
            data = found.rows if isinstance(found.rows, bytes) else found.rows.read()
            try:
                table = pa.ipc.open_stream(data).read_all()
            except (pa.ArrowException, OSError):
                return None
            self.used.add(found.shard)
            return ReadArchive(table, found.noticed)

    def _read(self) -> Iterator[tuple[_Key, _Held]]:
        for shard, data in self._shards():
            try:
                table = pq.read_table(pa.BufferReader(data)).cast(_SCHEMA)
            except (pa.ArrowException, OSError, ValueError):
                continue
            for uri, identity, settings, rows, noticed in zip(*map(_values, table), strict=True):
                held = self._put(rows) or rows
                yield (uri, identity, settings), _Held(shard, held, noticed)

    def keep(self, uri: str, identity: str, settings: str, read: ReadArchive) -> None:
        """Take in what was read of an archive; it is kept once `close` is called."""
        held = self._put(to_stream(read.table, "zstd"))
        if held is not None:
            self._new.append(((uri, identity, settings), held, read.noticed))

    def _put(self, data: bytes) -> Kept | None:
        self._spool = self._spool or Spool()
        return self._spool.keep(0, data)

    def close(self) -> Iterator[bytes]:
        """The bytes of new shards, once."""
        new, self._new = self._new, []
        shard, size = list[tuple[_Key, Kept, str]](), 0
        for one in new:
            if shard and (size + one[1].size > _SHARD_BYTES or len(shard) == _SHARD_ARCHIVES):
                yield _shard_bytes(shard)
                shard, size = [], 0
            shard.append(one)
            size += one[1].size
        if shard:
            yield _shard_bytes(shard)


def _values(column: pa.ChunkedArray) -> list[str | bytes]:
    values: list[str | bytes] = column.to_pylist()
    return values


def _shard_bytes(archives: Sequence[tuple[_Key, Kept, str]]) -> bytes:
    keys, held, noticed = zip(*archives, strict=True)
    uris, identities, settings = zip(*keys, strict=True)
    rows = [one.read() for one in held]
    sink = io.BytesIO()
    columns = [list(one) for one in (uris, identities, settings, rows, noticed)]
    table = pa.table(columns, schema=_SCHEMA)
    packed = {name: "none" if name == "rows" else "zstd" for name in _SCHEMA.names}
    pq.write_table(table, sink, compression=packed, write_statistics=False)
    return sink.getvalue()
