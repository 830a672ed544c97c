"""Bound the memory that a Parquet file takes once it is read, by its pages and not its footer.

What a footer says may be wrong, and a few kilobytes can stand for gigabytes. A reader goes by the
headers of the pages, so these are what is counted. Only what our own writer uses is known here.

Source: the Parquet format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from actors.columnar.chunk_sizes import longest_of
from actors.columnar.thrift import PageHeader, read_page
from actors.columnar.value_bounds import MAX_VALUE_BYTES, large_values

MOST_BYTES = 256 << 20
MOST_CODES = 48 << 20
_HEADER_BYTES = 64 << 10
_MOST_PAGES = 100_000
_LOOKED_THROUGH = 2 << 20
_MOST_SHARED = 128 << 20
_PLAIN, _OLD_DICTIONARY, _RLE, _DICTIONARY = 0, 2, 3, 8
_ENCODINGS = {_PLAIN, _OLD_DICTIONARY, _RLE, _DICTIONARY}
_WIDTH = 12  # of the widest number
_OFFSET, _CODE = 4, 4
_MOST_ROWS = 4096
_AT_ONCE = 64 << 20


def check_sizes(
    data: bytes, file: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int] | None = None
) -> None:
    """Make sure that some columns of a file can be read in bounded memory.

    Args:
        data: contents of the file.
        file: the same, opened.
        columns: those that will be read.
        groups: row groups that will be read together; None for all.

    Raises:
        ValueError: they cannot: more than `MOST_BYTES`, more than `MOST_CODES` numbers in columns
            of codes, or one value is too large. The message holds nothing of the file.
    """
    unpacked = codes = 0
    meant: Counter[str] = Counter()
    pages_left = _MOST_PAGES
    longest: dict[str, int] = {}
    schema, metadata = file.metadata.schema, file.metadata
    groups = range(metadata.num_row_groups) if groups is None else groups
    for index in range(metadata.num_columns):
        path = schema.column(index).path
        if not any(path == name or path.startswith(f"{name}.") for name in columns):
            continue
        width = max(schema.column(index).length or 0, _WIDTH)
        for group in groups:
            chunk = metadata.row_group(group).column(index)
            pages = _pages(data, chunk, pages_left)
            pages_left -= len(pages)
            size = sum(page.unpacked for page in pages)
            values = sum(page.values for page in pages if not page.is_dictionary)
            if chunk.physical_type == "BYTE_ARRAY":
                most = _longest(data, chunk, pages)
                longest[path] = max(longest.get(path, 0), most)
                meant[path] += values * most
                unpacked += size + values * _OFFSET
            elif _holds_codes(path) and width == _WIDTH:
                codes += max(values, size // _CODE)
            else:
                unpacked += max(values * width, size)
    if codes > MOST_CODES:
        raise ValueError(
            f"its columns of codes hold {codes} numbers; at most {MOST_CODES} are read"
        )
    _check_total(unpacked)
    if unpacked + meant.total() > MAX_VALUE_BYTES:
        _check_values(data, longest, meant, columns, groups)


def _check_total(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"its rows would take more than {MOST_BYTES} bytes")


def _holds_codes(path: str) -> bool:
    return "_codes" in path.partition(".")[0]


def _pages(data: bytes, chunk: pq.ColumnChunkMetaData, most: int) -> list[PageHeader]:
    """The pages of a column chunk in order; none where a reader looks for none."""
    if not chunk.num_values:
        return []
    at = _start(chunk)
    stop = at + chunk.total_compressed_size
    if not 0 <= at <= stop <= len(data):
        raise ValueError("a column lies outside of it")
    found = []
    while at < stop:
        page = read_page(data[at : min(at + _HEADER_BYTES, stop)])
        at += page.length + page.packed
        if page.encoding not in _ENCODINGS:
            raise ValueError("its values are packed in a way that no run uses")
        found.append(page)
        if len(found) > most:
            raise ValueError("it has more pages than rows need")
    return found


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    shared = chunk.dictionary_page_offset
    first = chunk.data_page_offset
    return int(shared if shared and 0 < shared < first else first)


def _longest(data: bytes, chunk: pq.ColumnChunkMetaData, pages: Sequence[PageHeader]) -> int:
    """The longest value that a row may mean without holding it."""
    if not pages or not pages[0].is_dictionary:
        return 0
    head = pages[0]
    if head.unpacked > _MOST_SHARED:
        raise ValueError(f"a list of its texts has more than {_MOST_SHARED} bytes")
    if head.unpacked > _LOOKED_THROUGH:
        return head.unpacked
    at = _start(chunk) + head.length
    return longest_of(data[at : at + head.packed], chunk.compression, head.unpacked)


def _check_values(
    data: bytes,
    longest: Mapping[str, int],
    meant: Mapping[str, int],
    columns: Sequence[str],
    groups: Sequence[int],
) -> None:
    """Measure what rows mean, with values that they share in memory once.

    Args:
        data: contents of the file.
        longest: of the values that rows may share, by leaf.
        meant: most bytes that all rows of a leaf may mean.
        columns: those that will be read.
        groups: row groups that will be.
    """
    total = 0
    with pq.ParquetFile(pa.BufferReader(data), read_dictionary=sorted(longest)) as file:
        for name in columns:
            leaves = [path for path in longest if path == name or path.startswith(f"{name}.")]
            if not leaves:
                continue
            if _has_map(file.schema_arrow.field(name).type):  # nothing measures these
                _check_total(total := total + sum(meant[path] for path in leaves))
                continue
            rows = max(1, _AT_ONCE // max(1, *(longest[path] for path in leaves)))
            size = min(rows, _MOST_ROWS)
            for batch in file.iter_batches(size, row_groups=list(groups), columns=[name]):
                for column in batch.columns:
                    sizes = large_values(column, -1).values()
                    if max(sizes, default=0) > MAX_VALUE_BYTES:
                        raise ValueError(f"it has a value of more than {MAX_VALUE_BYTES} bytes")
                    total += sum(sizes)
                _check_total(total)


def _has_map(kind: pa.DataType) -> bool:
    fields = [kind.field(index).type for index in range(kind.num_fields)]
    return pa.types.is_map(kind) or any(map(_has_map, fields))
