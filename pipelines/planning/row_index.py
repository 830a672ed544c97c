"""Ids and contents of a manifest's rows, seen once while planning and never held as a list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from actors.batch.channel_rows import whole_id
from actors.batch.row_hashes import row_digests
from actors.batch.unit import row_ids
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import file_batches
from actors.prefetch.held_objects import holding
from pipelines.errors import UsageError
from pipelines.manifest.sources import Source, fault_of
from pipelines.manifest.tables.scan import KnownTables
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.keys.row_keys import NO_STAMP, file_stamp, id_numbers, row_keys
from pipelines.planning.units.row_sizes import (
    GroupSizes,
    Sizes,
    group_sizes_of,
    held_sizes,
    is_sound,
    member_sizes,
    row_seconds,
)

_BATCH_ROWS = 4096
_BATCH_BYTES = 4 << 20
_WHOLE_BATCH_ROWS = 64


def read_columns(source: Source) -> list[str] | None:
    """Columns that planning reads: all, but no audio bytes where an `id` tells the rows apart."""
    if source.table is not None or "id" not in source.schema.names:
        return None
    renamed = ColumnNames.of_text(source.names).renamed
    constant = {renamed.get(name, name) for name in constants_schema(source.constants).names}
    return [
        field.name
        for field in source.schema
        if field.name not in constant and (field.name == "id" or not is_sound(field))
    ]


def planned_names(source: Source) -> list[str]:
    """Names of the columns that planning reads."""
    columns = read_columns(source)
    return source.schema.names if columns is None else columns


def unread_identity(source: Source) -> str:
    """What stands for bytes that are not read while planning: the size and time of their file; ""
    where all is read."""
    read = read_columns(source)
    unread = source.pinned or (read is not None and _has_others(source, read))
    return source.identity if unread else ""


class KeptRows(KnownTables, Protocol):
    """What an earlier plan kept of sources, and what keeps that of this one."""

    def has(self, source: Source) -> bool:
        """Whether something was kept of a source as it is."""
        ...

    def rows(self, source: Source, count: int) -> Iterator[IndexedRows]:
        """What was kept of the first rows of a source, as far as it holds."""
        ...

    def keeping(
        self, source: Source, rows: Iterator[IndexedRows], count: int
    ) -> Iterator[IndexedRows]:
        """Rows that were read, which are to be kept."""
        ...

    def store(self, is_whole: bool = True) -> None:
        """Keep what is new.

        Args:
            is_whole: the plan has all sources of INPUT.
        """
        ...


def index_settings(source: Source) -> str:
    """All that what planning keeps of a source's rows depends on, but the file itself."""
    facts = [
        source.names, source.constants, source.audio_base, source.places, source.pinned,
        unread_identity(source), read_columns(source),
    ]  # fmt: skip
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class _Batch:
    """Rows as they are read.

    Attributes:
        table: their columns.
        names: their ids, ``[N]``.
        contents: hashes of their columns but those of their places, ``[N]``.
        former: of all their columns, ``[N]``.
    """

    table: pa.Table
    names: Sequence[str | None]
    contents: list[bytes]
    former: list[bytes]


def _batches(
    source: Source, rows: int, look: Callable[[pa.Table, str], None] | None = None
) -> Iterator[_Batch]:
    """The first `rows` rows of a source, hashed, one batch in memory at a time.

    Raises:
        UsageError: ids of a wrong type, or rows that cannot be read.
    """
    try:
        for table in row_batches(source, rows):
            if look is not None:
                look(table, source.base)
            former = row_digests(table)  # which are the ids where no column is
            names: Sequence[str | None] = (
                row_ids(table) if "id" in table.column_names else [one.hex() for one in former]
            )
            own = table.drop_columns(list(source.places)) if source.places else None
            yield _Batch(table, names, former if own is None else row_digests(own), former)
    except (ValueError, pa.ArrowException, OSError, MemoryError) as fault:
        raise UsageError(f"{source.uri}: {fault_of(fault)}") from fault


def index_rows(
    source: Source,
    rows: int,
    look: Callable[[pa.Table, str], None] | None = None,
    stamps: FileStamps | None = None,
) -> Iterator[IndexedRows]:
    """The first `rows` rows of a source as planning keeps them, one batch in memory at a time.

    Args:
        source: of the manifest.
        rows: how many of its rows.
        look: is shown every batch and the source's folder.
        stamps: looks at the files that rows name; None looks at none.

    Raises:
        UsageError: ids of a wrong type or none, or rows that cannot be read.
    """
    unread = unread_identity(source)
    whole = file_stamp(unread) if unread else NO_STAMP
    unread_sizes = _unread_sizes(source)
    place = 0
    for batch in _batches(source, rows, look):
        names = [name for name in batch.names if name]
        if len(names) < len(batch.names):
            place += next(row for row, name in enumerate(batch.names) if not name)
            raise UsageError(
                f"{source.uri}: row {place} has no id; fill its column, or --set manifest.id=place "
                "makes ids of file names and row numbers"
            )
        files, named_sizes = _looked_at(batch.table, source, stamps, whole)
        seconds = row_seconds(batch.table)
        held = held_sizes(batch.table) + unread_sizes.of(place, place + len(names))
        channels = [one for name in names if "/ch" in name and (one := whole_id(name)) != name]
        yield IndexedRows(
            row_keys(names, batch.contents, source.audio_base, files),
            b"".join(batch.former),
            seconds,
            id_numbers(channels),
            held + np.where(seconds > 0, 0, named_sizes),
        )
        place += len(names)


def named_contents(source: Source, rows: int) -> Iterator[tuple[str | None, bytes]]:
    """Id and hash of the columns of each of the first `rows` rows of a source.

    Raises:
        UsageError: as `index_rows`.
    """
    for batch in _batches(source, rows):
        yield from zip(batch.names, batch.contents, strict=True)


def _looked_at(
    table: pa.Table, source: Source, stamps: FileStamps | None, whole: bytes
) -> tuple[list[bytes], Sizes]:
    """Stamps of rows, with that of what is not read of their own file, and sizes of the files that
    they name."""
    if stamps is None or source.pinned:  # what these name is their own file
        return [whole] * table.num_rows, member_sizes(table)
    named, sizes = stamps.look(table, source.base)
    if whole == NO_STAMP:
        return named, sizes
    both = [whole if stamp == NO_STAMP else file_stamp(whole, stamp) for stamp in named]
    return both, sizes


def _has_others(source: Source, read: list[str]) -> bool:
    """Whether a file has columns besides those that planning reads."""
    return len(read) < len(source.schema) - len(constants_schema(source.constants))


def _unread_sizes(source: Source) -> GroupSizes:
    """Sizes of the sounds in a file that planning does not read."""
    read = read_columns(source)
    if source.table is not None or read is None or not _has_others(source, read):
        return GroupSizes.of_nothing()
    own = {*(ColumnNames.of_text(source.names).own(read) or ())}
    with _held(source, []):
        return group_sizes_of(source.uri, source.identity, source.rows, own)


def row_batches(source: Source, rows: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The first rows of a source, a batch at a time: as Python values they take many times their
    size.

    Args:
        source: of the manifest.
        rows: how many of its rows.
        columns: at least these; None takes what planning reads, see `read_columns`.
    """
    if source.table is None:
        columns = columns or read_columns(source)
        size = _BATCH_ROWS if columns else _WHOLE_BATCH_ROWS
        names, first = ColumnNames.of_text(source.names), 0
        own = names.own(columns)
        with _held(source, own):
            for batch in file_batches(source.uri, rows, own, size):
                table = with_constants(pa.Table.from_batches([batch]), source.constants)
                yield names.table(table, first)
                first += batch.num_rows
        return
    average = source.table.nbytes // max(source.table.num_rows, 1) + 1
    size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // average))
    for start in range(0, rows, size):
        yield source.table.slice(start, min(size, rows - start))


def _held(source: Source, columns: list[str] | None) -> AbstractContextManager[None]:
    """Hold what reading some columns of a source takes, where it lies in a store."""
    held = source.ahead.held(source.uri, columns) if source.ahead else None
    return nullcontext() if held is None else holding(held)
