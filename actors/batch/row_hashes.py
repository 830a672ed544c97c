"""Hashes of a manifest's rows: each of the row's canonical JSON, which is made a column at a time.

The JSON of a row is what ``json.dumps`` with sorted keys makes of it, so that a row has the hash
that it always had: ids of rows without an `id` column are such hashes, and keys are made of them.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.sample_arrays import with_digests
from actors.columnar.cells import canonical, shown_rows, shown_values
from actors.columnar.value_bounds import TOO_LARGE, bounded_table, large_row

DIGEST_BYTES = 10
_JSON = json.JSONEncoder(sort_keys=True, default=str)
_AS_THEY_ARE = bytes(byte for byte in range(0x20, 0x7F) if chr(byte) not in '"\\')
_TEXT = pa.large_string()


def row_hashes(table: pa.Table) -> list[str]:
    """A stable hash of all values of every row, whatever the order of its columns; hexadecimal."""
    return [digest.hex() for digest in row_digests(table)]


def row_digests(table: pa.Table) -> list[bytes]:
    """The hashes of `row_hashes` as bytes, `DIGEST_BYTES` a row."""
    table = with_digests(bounded_table(table))
    if TOO_LARGE in table.column_names:
        notes = [large_row(note) for note in table.column(TOO_LARGE).to_pylist()]
        if any(notes):
            return _with_stand_ins(table.drop_columns([TOO_LARGE]), notes)
    blake2b = hashlib.blake2b
    return [blake2b(row, digest_size=DIGEST_BYTES).digest() for row in _json_rows(table)]


def _with_stand_ins(table: pa.Table, notes: list[dict[str, Any]]) -> list[bytes]:
    """Hashes of rows some of whose values stand for others that are too large."""
    digests = []
    for row, note in zip(shown_rows(table), notes, strict=True):
        values = canonical(row) | {name: stand_in for name, (_, stand_in) in note.items()}
        text = _JSON.encode(values).encode()
        digests.append(hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest())
    return digests


def _json_rows(table: pa.Table) -> list[bytes]:
    """The rows as JSON objects."""
    if not table.num_columns:
        return [b"{}"] * table.num_rows
    parts: list[Any] = []
    for name in sorted(table.column_names):
        before = ", " if parts else "{"
        parts.append(pa.scalar(f"{before}{encode_basestring_ascii(name)}: ", _TEXT))
        parts.append(_json_values(table.column(name)))
    rows = pc.binary_join_element_wise(*parts, pa.scalar("}", _TEXT), pa.scalar("", _TEXT))
    return [text for chunk in rows.chunks for text in _cells(chunk)]


def _cells(texts: pa.Array) -> list[bytes]:
    """The bytes of texts, none of which is null."""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts) or data is None:
        return [b""] * len(texts)
    first, last = int(places[0]), int(places[-1])
    held = data[first:last].to_pybytes()
    return [held[start:stop] for start, stop in pairwise((places - first).tolist())]


def _json_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column as JSON."""
    kind = column.type
    if pa.types.is_integer(kind):
        return pc.fill_null(column.cast(_TEXT), "null")
    if (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and _is_plain(column):
        quote, none = pa.scalar('"', _TEXT), pa.scalar("", _TEXT)
        quoted = pc.binary_join_element_wise(quote, column.cast(_TEXT), quote, none)
        return pc.fill_null(quoted, "null")
    values = shown_values(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = ["null" if value is None else encode_basestring_ascii(value) for value in values]
    else:
        texts = [_JSON.encode(canonical(value)) for value in values]
    return pa.chunked_array([pa.array(texts, _TEXT)])


def _is_plain(column: pa.ChunkedArray) -> bool:
    """Whether texts stand in JSON as they are."""
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        if data is None or not len(chunk):
            continue
        width = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
        places = np.frombuffer(offsets, width)
        first, last = int(places[chunk.offset]), int(places[chunk.offset + len(chunk)])
        if data[first:last].to_pybytes().translate(None, _AS_THEY_ARE):
            return False
    return True
