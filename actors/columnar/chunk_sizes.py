"""Bound the size of the values of a Parquet file before any of them is unpacked.

A column chunk may begin with a dictionary of its values. The header of that page says how long it
is; a short one is unpacked to find its longest value, for a long one its length is the bound.

Source: the Parquet format; PLAIN byte arrays are four bytes of length and the bytes.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from actors.columnar.dictionaries import DENSE, is_oversized
from actors.columnar.thrift import read_dictionary_page
from actors.prefetch.held_objects import held_object
from actors.storage.file_systems import retrying, split_uri

_HEADER_BYTES = 64
_SMALL_BYTES = 64 << 10
_UNPACKED_BYTES = 2 << 20
_MANY_BYTES = 256 << 20
_BITS = {"BOOLEAN": 1, "INT32": 32, "INT64": 64, "INT96": 64, "FLOAT": 32, "DOUBLE": 64}
_SHORT_BITS = {"INT_8": 8, "UINT_8": 8, "INT_16": 16, "UINT_16": 16}
_CODECS = {"SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd"}


@dataclass(frozen=True)
class Leaf:
    """A column chunk of a leaf.

    Attributes:
        group: its row group.
        path: of the leaf in the schema.
        row_bytes: what a row of it may take; where rows are lists, what they take on average.
        is_many: a row may be a list of many large values, so that nothing bounds it.
        oversized: first byte, size and codec of a chunk whose dictionary takes far more memory
            than its file.
        is_dense: numbers that take far more memory than their part of the file.
    """

    group: int
    path: str
    row_bytes: int
    is_many: bool
    oversized: tuple[int, int, str] | None
    is_dense: bool = False


def leaf_chunks(
    uri: str, metadata: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str] | None
) -> list[Leaf]:
    """The column chunks of some row groups that hold byte arrays, and those that are large.

    Args:
        uri: the file.
        metadata: its footer.
        groups: numbers of row groups.
        columns: names of columns or of fields of them, as Parquet's readers take them; None is all.
    """
    paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    wanted = [index for index, path in enumerate(paths) if _is_of(path, columns)]
    chunks = []
    for group in groups:
        row_group = metadata.row_group(group)
        for index in wanted:
            leaf = metadata.schema.column(index)
            facts = _facts(row_group.column(index), leaf)
            if facts.is_text or max(facts.size, facts.numbers) > _SMALL_BYTES:
                nested = leaf.max_repetition_level > 0
                chunks.append((group, row_group.num_rows, nested, facts))
    texts = [facts for *_, facts in chunks if facts.is_text]
    asked = tuple((facts.offset, facts.codec) for facts in texts)
    found: dict[int, tuple[int, bool]] = {}
    if asked:
        known = _dictionaries(uri, metadata.serialized_size, metadata.num_rows, asked)
        found = {facts.offset: bounds for facts, bounds in zip(texts, known, strict=True)}
    return [_leaf(*chunk, *found.get(chunk[-1].offset, (0, False))) for chunk in chunks]


def group_sizes(
    metadata: pq.FileMetaData, group: int, columns: Sequence[str] | None
) -> tuple[int, int, int]:
    """Rows of a row group; bytes of some of its columns in the file, and unpacked, as its footer
    says."""
    facts = metadata.row_group(group)
    chunks = [facts.column(index) for index in range(facts.num_columns)]
    wanted = [chunk for chunk in chunks if _is_of(chunk.path_in_schema, columns)]
    packed = sum(max(chunk.total_compressed_size, 0) for chunk in wanted)
    return facts.num_rows, packed, sum(max(chunk.total_uncompressed_size, 0) for chunk in wanted)


def _is_of(path: str, columns: Sequence[str] | None) -> bool:
    """Whether a leaf belongs to one of some columns, or fields of columns."""
    return columns is None or any(path == name or path.startswith(f"{name}.") for name in columns)


@dataclass(frozen=True)
class _Facts:
    path: str
    offset: int
    size: int
    packed: int
    values: int
    numbers: int
    codec: str
    is_text: bool
    is_delta: bool


_Chunk = tuple[int, int, bool, _Facts]


def _facts(chunk: pq.ColumnChunkMetaData, leaf: pq.ColumnSchema) -> _Facts:
    data, shared = chunk.data_page_offset, chunk.dictionary_page_offset
    return _Facts(
        path=chunk.path_in_schema,
        offset=shared if shared and shared < data else data,
        size=max(chunk.total_uncompressed_size, 0),
        packed=max(chunk.total_compressed_size, 0),
        values=max(chunk.num_values, 0),
        numbers=max(chunk.num_values, 0) * _bits(leaf) // 8,
        codec=chunk.compression,
        is_text=chunk.physical_type == "BYTE_ARRAY",
        is_delta="DELTA_BYTE_ARRAY" in chunk.encodings,
    )


def _bits(leaf: pq.ColumnSchema) -> int:
    """Bits that a number takes in memory; 0 for texts."""
    if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return 8 * max(int(leaf.length), 0)
    return _SHORT_BITS.get(leaf.converted_type, _BITS.get(leaf.physical_type, 0))


def _leaf(
    group: int, rows: int, nested: bool, facts: _Facts, longest: int, oversized: bool
) -> Leaf:
    longest = max(longest, facts.size if facts.is_delta else 0)
    average = -(-max(facts.size, facts.numbers) // max(rows, 1))
    chunk = (facts.offset, facts.packed, facts.codec) if oversized else None
    if not nested:
        return Leaf(group, facts.path, max(longest, average), False, chunk)
    # lists of prefixes cannot be read as dictionaries
    can_share = facts.is_text and not facts.is_delta
    is_many = can_share and longest * facts.values > _MANY_BYTES
    each = -(-facts.values // max(rows, 1)) * longest
    row_bytes = average if is_many else max(each, average)
    is_dense = facts.packed * DENSE < facts.numbers
    return Leaf(group, facts.path, row_bytes, is_many, chunk, is_dense)


@functools.lru_cache(maxsize=256)  # a worker reads unit after unit of the same file
def _dictionaries(
    uri: str, footer: int, rows: int, asked: tuple[tuple[int, str], ...]
) -> tuple[tuple[int, bool], ...]:
    """Longest value that the dictionary of each chunk can hold, 0 where there is none; and whether
    it takes far more memory than its file."""
    del footer, rows  # part of the key: another file of that name
    headers = _read(uri, [(offset, offset + _HEADER_BYTES) for offset, _ in asked])
    pages = [read_dictionary_page(data) for data in headers]
    longest = [page.unpacked if page else 0 for page in pages]
    ranges = {
        number: (offset + page.length, offset + page.length + page.packed)
        for number, ((offset, _), page) in enumerate(zip(asked, pages, strict=True))
        if page and _SMALL_BYTES < page.unpacked <= _UNPACKED_BYTES >= page.packed
    }
    for number, data in zip(ranges, _read(uri, list(ranges.values())), strict=True):
        longest[number] = longest_of(data, asked[number][1], longest[number])
    oversized = [page is not None and is_oversized(page) for page in pages]
    return tuple(zip(longest, oversized, strict=True))


def _read(uri: str, ranges: list[tuple[int, int]]) -> list[bytes]:
    """Byte ranges of a file; all in one go where each is a call to a store."""
    if not ranges:
        return []
    if held := held_object(uri):
        return [held.read(start, stop) for start, stop in ranges]
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        with Path(path).open("rb") as file:
            found = []
            for start, stop in ranges:
                file.seek(start)
                found.append(file.read(stop - start))
            return found
    starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
    size = int(fs.info(path)["size"])
    stops = [min(stop, size) for stop in stops]
    found = retrying(
        lambda: fs.cat_ranges([path] * len(ranges), starts, stops, on_error="raise"),
        f"reading {uri}",
    )
    return [bytes(data) for data in found]


def longest_of(data: bytes, codec: str, size: int) -> int:
    """The longest value of a dictionary page; its size where it cannot be unpacked."""
    try:
        if codec in _CODECS:
            data = pa.decompress(data, size, _CODECS[codec], asbytes=True)
        elif codec != "UNCOMPRESSED":
            return size
    except (pa.ArrowException, OSError, ValueError):
        return size
    at, longest = 0, 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        longest = max(longest, length)
        at += 4 + length
    return longest if at == len(data) else size
