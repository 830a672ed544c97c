"""Ids and contents of a manifest's rows, seen once while planning and never held as a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from actors.batch.channel_rows import whole_id
from actors.batch.sample_arrays import holds_samples
from actors.batch.schema import AUDIO_COLUMNS
from actors.batch.unit import row_hashes, row_ids
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import file_batches
from pipelines.errors import UsageError
from pipelines.manifest.sources import Source, fault_of
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.row_keys import NO_STAMP, file_stamp, id_digest

_BATCH_ROWS = 4096
_BATCH_BYTES = 4 << 20
_WHOLE_BATCH_ROWS = 64


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


def unread_identity(source: Source) -> str:
    """What stands for bytes that are not read while planning: the size and time of their file; ""
    where all is read."""
    read = read_columns(source)
    there = len(source.schema) - len(constants_schema(source.constants))
    unread = source.pinned or (read is not None and len(read) < there)
    return source.identity if unread else ""


class IndexedRow(NamedTuple):
    """What planning keeps of a row.

    Attributes:
        name: its id.
        content: hash of its columns, but for those of its place.
        former: hash of all its columns.
        duration_s: seconds of audio where a column tells, else 0.
        stamp: of the files that it names, see `FileStamps`.
    """

    name: str | None
    content: str
    former: str
    duration_s: float
    stamp: bytes


def index_rows(
    source: Source,
    rows: int,
    look: Callable[[pa.Table, str], None] | None = None,
    stamps: FileStamps | None = None,
) -> Iterator[IndexedRow]:
    """The first `rows` rows of a source as planning keeps them, one batch in memory at a time.

    Args:
        source: of the manifest.
        rows: how many of its rows.
        look: is shown every batch and the source's folder.
        stamps: looks at the files that rows name; None looks at none.

    Raises:
        UsageError: ids of a wrong type, or rows that cannot be read.
    """
    unread = unread_identity(source)
    whole = file_stamp(unread) if unread else NO_STAMP
    try:
        for table in row_batches(source, rows):
            if look is not None:
                look(table, source.base)
            former = row_hashes(table)  # which are the ids where no column is
            ids = row_ids(table) if "id" in table.column_names else former
            hashes = row_hashes(table.drop_columns(source.places)) if source.places else former
            files = _stamps(table, source, stamps, whole)
            yield from map(IndexedRow, ids, hashes, former, _seconds(table), files)
    except (ValueError, pa.ArrowException, OSError, MemoryError) as fault:
        raise UsageError(f"{source.uri}: {fault_of(fault)}") from fault


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


def _seconds(table: pa.Table) -> list[float]:
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
        seconds: list[float] = np.where(np.isfinite(told_s) & (told_s > 0), told_s, 0.0).tolist()
    return seconds


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
        for batch in file_batches(source.uri, rows, names.own(columns), size):
            table = with_constants(pa.Table.from_batches([batch]), source.constants)
            yield names.table(table, first)
            first += batch.num_rows
        return
    average = source.table.nbytes // max(source.table.num_rows, 1) + 1
    size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // average))
    for start in range(0, rows, size):
        yield source.table.slice(start, min(size, rows - start))


class SeenIds:
    """Ids seen so far as 64-bit hashes: eight bytes an id, whatever its length."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        self._wholes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []

    def add(self, ids: list[str]) -> None:
        """Remember ids."""
        self._blocks.append(np.array([id_hash(name) for name in ids], dtype=np.uint64))
        wholes = [whole for name in ids if (whole := whole_id(name)) != name]
        if wholes:
            self._wholes.append(np.array([id_hash(name) for name in wholes], dtype=np.uint64))

    def have_channels(self) -> bool:
        """Whether any id is that of another one's channel, as rows of channels are named."""
        if not self._wholes:
            return False
        ids, wholes = (np.concatenate(blocks) for blocks in (self._blocks, self._wholes))
        return bool(np.isin(wholes, ids).any())

    def different(self) -> int:
        """How many different ids there are."""
        return len(np.unique(np.concatenate(self._blocks))) if self._blocks else 0

    def repeated(self) -> set[int]:
        """Hashes that occur more than once."""
        if not self._blocks:
            return set()
        values, counts = np.unique(np.concatenate(self._blocks), return_counts=True)
        return {int(value) for value in values[counts > 1]}


def id_hash(name: str) -> int:
    """64 bits that stand for an id."""
    return int.from_bytes(id_digest(name), "big")
