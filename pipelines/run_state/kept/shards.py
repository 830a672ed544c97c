"""Shards of the plan that is kept: keys of rows, and what units are cut by, as Parquet."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.prefetch.spool import Kept, Spool
from pipelines.manifest.sources import Source
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.keys.row_keys import KEY_BYTES, key_array
from pipelines.planning.row_index import index_settings

PLAN_VERSION = 2
_SHARD_ROWS = 1 << 18
_SCHEMA = pa.schema([
    ("key", pa.binary(KEY_BYTES)), ("seconds", pa.float64()), ("whole", pa.uint64()),
    ("bytes", pa.int64()),
])  # fmt: skip
_Facts = dict[str, Any]


class PlanShards:
    """Shards in the making: rows wait in a temporary file, not in memory."""

    def __init__(self) -> None:
        self._batches: list[IndexedRows] = []
        self._sources: list[list[Any]] = []
        self._schemas: dict[pa.Schema, int] = {}
        self._rows = 0
        self._last: tuple[Source, int] | None = None
        self._spool: Spool | None = None
        self._done: list[tuple[Kept | bytes, _Facts]] = []

    def add(self, source: Source, own: pa.Schema, rows: IndexedRows) -> None:
        """Append the next rows of a source, whose file has columns of its own."""
        last, first = self._last or (None, 0)
        if last is not source:
            first = 0
        if last is not source or not self._sources:
            schema = self._schemas.setdefault(own, len(self._schemas))
            self._sources.append([
                source.uri, source.identity, source.rows, schema, index_settings(source),
                self._rows, 0, first,
            ])  # fmt: skip
        self._sources[-1][6] += len(rows)
        self._batches.append(rows)
        self._rows += len(rows)
        self._last = source, first + len(rows)
        if self._rows >= _SHARD_ROWS:
            self._cut()

    def _cut(self) -> None:
        data = _shard_bytes(self._batches)
        schemas = [base64.b64encode(s.serialize()).decode() for s in self._schemas]
        facts = {"version": PLAN_VERSION, "schemas": schemas, "sources": self._sources}
        self._spool = self._spool or Spool()
        self._done.append((self._spool.keep(0, data) or data, facts))
        self._batches, self._sources, self._rows, self._schemas = [], [], 0, {}

    def close(self) -> Iterator[tuple[bytes, _Facts]]:
        """Bytes and facts of each, once."""
        if self._rows:
            self._cut()
        done, self._done = self._done, []
        for data, facts in done:
            yield data.read() if isinstance(data, Kept) else data, facts


def _shard_bytes(batches: list[IndexedRows]) -> bytes:
    keys = b"".join(batch.keys.tobytes() for batch in batches)
    rows = len(keys) // KEY_BYTES
    column = pa.FixedSizeBinaryArray.from_buffers(
        _SCHEMA.field("key").type, rows, [None, pa.py_buffer(keys)]
    )
    wholes = []
    for batch in batches:
        wholes.append(pa.array(batch.wholes, pa.uint64()))
        wholes.append(pa.nulls(len(batch) - len(batch.wholes), pa.uint64()))
    seconds = np.concatenate([batch.seconds for batch in batches])
    sizes = np.concatenate([batch.sizes for batch in batches])
    table = pa.table([column, seconds, pa.chunked_array(wholes), sizes], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    # keys are what a hash makes: nothing repeats, nothing can be packed
    packed = dict.fromkeys(("seconds", "whole", "bytes"), "zstd")
    pq.write_table(table, sink, compression={"key": "none", **packed},
                   use_dictionary=["seconds", "bytes"], write_statistics=False)  # fmt: skip
    data: bytes = sink.getvalue().to_pybytes()
    return data


def indexed(table: pa.Table) -> IndexedRows:
    """Rows of a shard as planning keeps them."""
    held = []
    for chunk in table["key"].chunks:
        _, data = chunk.buffers()
        start = chunk.offset * KEY_BYTES
        held.append(data[start : start + len(chunk) * KEY_BYTES].to_pybytes() if data else b"")
    keys = key_array(held)
    wholes = table["whole"].drop_null().to_numpy()
    seconds, sizes = table["seconds"].to_numpy(), table["bytes"].to_numpy()
    return IndexedRows(keys, b"", seconds, wholes, sizes)
