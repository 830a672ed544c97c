"""Ids and contents of a manifest's rows, seen once while planning and never held as a list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.batch.channel_rows import whole_id
from actors.batch.names import AUDIO_COLUMNS
from actors.batch.row_hashes import DIGEST_BYTES, row_digests
from actors.batch.sample_arrays import holds_samples
from actors.batch.unit import row_ids
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import file_batches
from actors.prefetch.held_objects import holding
from actors.prefetch.spilled_hashes import SpilledHashes
from pipelines.errors import UsageError
from pipelines.manifest.sources import Source, fault_of
from pipelines.manifest.tables.scan import KnownTables
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.row_keys import NO_STAMP, KeyArray, file_stamp, id_numbers, row_keys

_BATCH_ROWS = 4096
_BATCH_BYTES = 4 << 20
_WHOLE_BATCH_ROWS = 64
_NONE = np.zeros(0, np.uint64)


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_is_binary(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_sound(field: pa.Field) -> bool:
    """Whether a column may hold sounds themselves: bytes, or samples where audio is named."""
    is_array = field.name in AUDIO_COLUMNS and holds_samples(field.type)
    return is_array or _is_binary(field.type)


def read_columns(source: Source) -> list[str] | None:
    """Columns that planning reads: all, but no audio bytes where an `id` tells the rows apart."""
    if source.table is not None or "id" not in source.schema.names:
        return None
    renamed = ColumnNames.of_text(source.names).renamed
    constant = {renamed.get(name, name) for name in constants_schema(source.constants).names}
    return [
        field.name
        for field in source.schema
        if field.name not in constant and (field.name == "id" or not _is_sound(field))
    ]


def planned_names(source: Source) -> list[str]:
    """Names of the columns that planning reads."""
    columns = read_columns(source)
    return source.schema.names if columns is None else columns


def unread_identity(source: Source) -> str:
    """What stands for bytes that are not read while planning: the size and time of their file; ""
    where all is read."""
    read = read_columns(source)
    there = len(source.schema) - len(constants_schema(source.constants))
    unread = source.pinned or (read is not None and len(read) < there)
    return source.identity if unread else ""


@dataclass(frozen=True)
class IndexedRows:
    """What planning keeps of rows that lie one behind the other.

    Attributes:
        keys: of the rows, ``[N]``, see `row_keys`.
        former: hashes of all their columns, `DIGEST_BYTES` a row, by which records of format 1
            know them.
        seconds: of audio where a column tells, else 0, ``[N]``, float64.
        wholes: digests of the ids of which ids are channels, ``[M]``, see `whole_id`.
    """

    keys: KeyArray
    former: bytes
    seconds: npt.NDArray[np.float64]
    wholes: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.keys)

    def slice(self, start: int, stop: int) -> IndexedRows:
        """Some of the rows, without their `wholes`."""
        former = self.former[DIGEST_BYTES * start : DIGEST_BYTES * stop]
        return IndexedRows(self.keys[start:stop], former, self.seconds[start:stop], _NONE)

    def before(self, rows: IndexedRows) -> IndexedRows:
        """These rows and others behind them."""
        return IndexedRows(
            # their bytes are the keys, and NumPy would turn them about
            np.concatenate([self.keys, rows.keys], dtype=self.keys.dtype),
            self.former + rows.former,
            np.concatenate([self.seconds, rows.seconds]),
            _NONE,
        )


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
    place = 0
    for batch in _batches(source, rows, look):
        names = [name for name in batch.names if name]
        if len(names) < len(batch.names):
            place += next(row for row, name in enumerate(batch.names) if not name)
            raise UsageError(
                f"{source.uri}: row {place} has no id; fill its column, or --set manifest.id=place "
                "makes ids of file names and row numbers"
            )
        files = _stamps(batch.table, source, stamps, whole)
        channels = [one for name in names if "/ch" in name and (one := whole_id(name)) != name]
        yield IndexedRows(
            row_keys(names, batch.contents, source.audio_base, files),
            b"".join(batch.former),
            _seconds(batch.table),
            id_numbers(channels),
        )
        place += len(names)


def named_contents(source: Source, rows: int) -> Iterator[tuple[str | None, bytes]]:
    """Id and hash of the columns of each of the first `rows` rows of a source.

    Raises:
        UsageError: as `index_rows`.
    """
    for batch in _batches(source, rows):
        yield from zip(batch.names, batch.contents, strict=True)


def _stamps(
    table: pa.Table, source: Source, stamps: FileStamps | None, whole: bytes
) -> list[bytes]:
    """Stamps of rows, with that of what is not read of their own file."""
    if stamps is None or source.pinned:  # what these name is their own file
        return [whole] * table.num_rows
    named = stamps.of_rows(table, source.base)
    if whole == NO_STAMP:
        return named
    return [whole if stamp == NO_STAMP else file_stamp(whole, stamp) for stamp in named]


def _seconds(table: pa.Table) -> npt.NDArray[np.float64]:
    """Seconds of audio of each row by its columns; 0 where they do not tell."""

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        kind = table.schema.field(name).type if name in table.column_names else pa.null()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return np.full(table.num_rows, np.nan)
        # unsafe: beyond 2^53 a number of seconds need not be exact
        return np.asarray(table[name].cast(pa.float64(), safe=False).to_numpy(), np.float64)

    with np.errstate(invalid="ignore"):
        span_s = column("end_s") - np.nan_to_num(column("start_s"))
        told_s = np.where(np.isnan(span_s), column("duration"), span_s)
        return np.where(np.isfinite(told_s) & (told_s > 0), told_s, 0.0)


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


class SeenIds:
    """Ids seen so far as 64-bit hashes, in memory that does not grow with them."""

    def __init__(self) -> None:
        self._ids, self._wholes = SpilledHashes(), SpilledHashes()

    def noted(self, rows: IndexedRows) -> IndexedRows:
        """The rows themselves, whose ids are remembered."""
        self._ids.add(rows.keys["id"].astype(np.uint64))
        if len(rows.wholes):
            self._wholes.add(rows.wholes)
        return rows

    def have_channels(self) -> bool:
        """Whether any id is that of another one's channel, as rows of channels are named."""
        if not len(self._wholes):
            return False
        both = zip(self._wholes.partitions(), self._ids.partitions(), strict=True)
        return any(np.isin(wholes, ids).any() for wholes, ids in both)

    def different(self) -> int:
        """How many different ids there are."""
        return sum(len(np.unique(ids)) for ids in self._ids.partitions())

    def repeated(self) -> set[int]:
        """Hashes that occur more than once."""
        found: set[int] = set()
        for ids in self._ids.partitions():
            found.update(ids[1:][ids[1:] == ids[:-1]].tolist())
        return found
