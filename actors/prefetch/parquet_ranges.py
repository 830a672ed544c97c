"""Parquet files in stores, read in one request each where they are small, else in very few.

A footer lies at the end, and columns lie in pieces between others: asked for one by one each is a
request, and a request takes what megabytes take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from actors.prefetch.held_objects import HeldObject, Piece
from actors.prefetch.ranges import range_reader
from actors.prefetch.spool import Kept, Spool

SMALL_BYTES = 1 << 20  # read whole, footer, columns and all
_TAIL_BYTES = 128 << 10  # which most footers fit into
_GAP_BYTES = 256 << 10  # between ranges that one request reads
_MOST_BYTES = 32 << 20  # of columns that are held at once
Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Ahead:
    """What is known of a file in a store once its footer was read.

    Attributes:
        size: of the file.
        kept: its last bytes, or all of them; None where there was no room for them.
    """

    size: int
    kept: Kept | None

    def held(self, uri: str, columns: Sequence[str] | None) -> HeldObject | None:
        """The file with what reading some of its columns takes; None where that is too much.

        Args:
            uri: its address.
            columns: of the file; None is all.

        Raises:
            OSError: storage did not answer.
        """
        if columns is None and self.size > SMALL_BYTES:
            return None
        held = (
            begun(uri, self.size)
            if self.kept is None
            else HeldObject(
                uri, self.size, [(self.kept.start, self.kept.read())], range_reader(uri)
            )
        )
        if columns is None or self.size <= SMALL_BYTES:
            return held
        return _with_columns(held, columns)


def begun(uri: str, size: int) -> HeldObject:
    """A file with its last bytes, or all of a small one: a request.

    Args:
        uri: its address.
        size: of it, as its store lists it.

    Raises:
        OSError: storage did not answer.
    """
    read = range_reader(uri)
    start = 0 if size <= SMALL_BYTES else size - _TAIL_BYTES
    return HeldObject(uri, size, [(start, read(start, size) if size else b"")], read)


def kept(held: HeldObject, spool: Spool) -> Ahead:
    """What is here of a file, put aside until its columns are read."""
    ((start, data),) = held.pieces
    return Ahead(held.size, spool.keep(start, data))


def _with_columns(held: HeldObject, columns: Sequence[str]) -> HeldObject | None:
    """A file with the chunks of some columns, too."""
    with pq.ParquetFile(held.open()) as file:
        ranges = list(_merged(_chunks(file.metadata, columns)))
    if sum(stop - start for start, stop in ranges) > _MOST_BYTES:
        return None
    pieces: list[Piece] = [(start, held.read(start, stop)) for start, stop in ranges]
    return HeldObject(held.uri, held.size, [*pieces, *held.pieces], held.fetch)


def _chunks(metadata: pq.FileMetaData, columns: Sequence[str]) -> Iterator[Range]:
    """Where the chunks of some columns lie."""
    names = set(columns)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            if chunk.path_in_schema in names or chunk.path_in_schema.partition(".")[0] in names:
                first = chunk.dictionary_page_offset or chunk.data_page_offset
                start = max(min(first, chunk.data_page_offset), 0)
                yield start, start + max(chunk.total_compressed_size, 0)


def _merged(ranges: Iterator[Range]) -> Iterator[Range]:
    """Ranges in order, those that lie close together as one."""
    start = stop = -1
    for first, last in sorted(ranges):
        if start >= 0 and first <= stop + _GAP_BYTES:
            stop = max(stop, last)
            continue
        if start >= 0:
            yield start, stop
        start, stop = first, last
    if start >= 0:
        yield start, stop
