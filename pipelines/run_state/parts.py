"""Parts of an OUTPUT as they are read: anyone may have written them, so they are checked first."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from actors.batch.error_rows import ERRORS_SCHEMA
from actors.columnar.part_sizes import check_sizes
from actors.stages.part_file import UNITS_KEY
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines.causes import STORAGE_READ, reason, stopped
from pipelines.errors import RunFailed

MOST_ROWS = 4096  # of a unit, and of a row group
_MOST_PACKED = 1 << 30
_UNITS = TypeAdapter(list[tuple[int, int]])


# names, or what tells of a name whether it is one of them
Columns = Collection[str] | Callable[[str], bool]


class BadPart(RunFailed):
    """A part that is not what a run writes; no message holds any of its bytes."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}; `uniaudio2 status --verify` finds all such parts, and "
            "`uniaudio2 run` makes their units again where their records are removed"
        )


def read_part(storage: Storage, path: str, columns: Columns | None = None) -> pa.Table:
    """A data part as a whole, or those of the columns that it has.

    Raises:
        BadPart: it is missing, a link, no Parquet, or not as a run writes it.
        RunFailed: storage did not answer.
    """
    return table_of(part_bytes(storage, path), path, columns)


def table_of(data: bytes, path: str, columns: Columns | None = None, own: bool = False) -> pa.Table:
    """A data part as a whole from its contents, see `tables_of`."""
    if not own:
        with _opened(data, path) as file:
            _check_sizes(file, data, path, _wanted(file, columns))
    return pa.concat_tables(tables_of(data, path, columns, own=True))


def read_errors_part(storage: Storage, path: str) -> pa.Table:
    """An errors part; `BadPart` and `RunFailed` are raised as by `read_part`."""
    return errors_table_of(part_bytes(storage, path), path)


def errors_table_of(data: bytes, path: str) -> pa.Table:
    """An errors part from its contents, see `read_errors_part`."""
    return pa.concat_tables([ERRORS_SCHEMA.empty_table(), *errors_tables_of(data, path, True)])


def errors_tables_of(data: bytes, path: str, whole: bool = False) -> Iterator[pa.Table]:
    """The rows of an errors part from its contents, at most `MOST_ROWS` at a time.

    Args:
        data: contents of the part.
        path: of the part, for messages.
        whole: they are all held in memory at once.
    """
    with _opened(data, path) as file:
        if not file.schema_arrow.remove_metadata().equals(ERRORS_SCHEMA):
            raise BadPart(path, "its columns are not those of the errors table")
        if whole:
            _check_sizes(file, data, path, ERRORS_SCHEMA.names)
        yield from _groups(file, data, path, ERRORS_SCHEMA.names, own=whole)


def part_bytes(storage: Storage, path: str) -> bytes:
    """The contents of a part; `BadPart` where there is none."""
    try:
        return storage.read(path, _MOST_PACKED)
    except FileNotFoundError as fault:
        raise BadPart(path, "it is missing") from fault
    except ForeignPath as fault:
        raise BadPart(path, "it is a link, or what no run puts there") from fault
    except OSError as fault:
        raise stopped(STORAGE_READ, reason(fault)) from fault


def tables_of(
    data: bytes, path: str, columns: Columns | None = None, own: bool = False
) -> Iterator[pa.Table]:
    """The rows of a data part from its contents, at most `MOST_ROWS` at a time, see `read_part`.

    Args:
        data: contents of the part.
        path: of the part, for messages.
        columns: those that are read; None for all.
        own: a run of this user wrote exactly these bytes: they may stand for as much as rows of
            a run do, such as the codes of recordings of many hours.
    """
    with _opened(data, path) as file:
        if file.num_row_groups == 0:
            yield _with_ids(_empty(file, columns), path)
        for table in _groups(file, data, path, columns, own):
            yield _with_ids(table, path)


def some_tables_of(
    data: bytes, path: str, every: int, columns: Columns | None = None, own: bool = False
) -> Iterator[tuple[int, pa.Table]]:
    """Every so many groups of the rows of a data part, and the number of each one's first row.

    Args:
        data: contents of the part.
        path: of the part, for messages.
        every: 1 takes all groups, 2 every other.
        columns: those that are read; None for all.
        own: see `tables_of`.
    """
    with _opened(data, path) as file:
        first = 0
        for group in range(file.num_row_groups):
            if group % every == 0:
                for table in _groups(file, data, path, columns, own, [group]):
                    yield first, _with_ids(table, path)
            first += file.metadata.row_group(group).num_rows


def table_around(
    data: bytes, path: str, row: int, columns: Columns | None = None, own: bool = False
) -> tuple[pa.Table, int]:
    """Those rows of a data part that are stored with one of them, and its place among them.

    Args:
        data: contents of the part.
        path: of the part, for messages.
        row: number of the row in the part.
        columns: those that are read; None for all.
        own: a run of this user wrote exactly these bytes.
    """
    with _opened(data, path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                table = next(_groups(file, data, path, columns, own, [group]))
                return _with_ids(table, path), row
            row -= rows
    raise BadPart(path, "it has fewer rows than were found before")


def units_merged(data: bytes) -> list[tuple[int, int]]:
    """The units whose rows a merged part holds, each with how many; none of any other part."""
    with _opened(data, "") as file:
        found = (file.metadata.metadata or {}).get(UNITS_KEY, b"")
    with suppress(ValidationError):
        return _UNITS.validate_json(found)
    return []


def _with_ids(table: pa.Table, path: str) -> pa.Table:
    """A table, if its rows have ids."""
    if "id" not in table.column_names or table.schema.field("id").type != pa.string():
        raise BadPart(path, "its rows have no ids")
    ids = table.column("id")
    try:
        ids.validate(full=True)
    except pa.ArrowException:
        raise BadPart(path, "its ids are no text") from None
    if ids.null_count:
        raise BadPart(path, "its rows have no ids")
    return table


def plain_rows(table: pa.Table) -> list[dict[str, Any] | None]:
    """The rows of a table; None for one that holds a value which Python has no word for."""
    try:
        return list(table.to_pylist())
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return [_plain_row(table.slice(place, 1)) for place in range(table.num_rows)]


def _plain_row(single: pa.Table) -> dict[str, Any] | None:
    try:
        return dict(single.to_pylist()[0])
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return None


def _is_wanted(name: str, columns: Columns | None) -> bool:
    if columns is None:
        return True
    return columns(name) if callable(columns) else name in columns


@contextmanager
def _opened(data: bytes, path: str) -> Iterator[pq.ParquetFile]:
    """A part as a Parquet file; what goes wrong while it is open is the part's fault."""
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            names = list(file.schema_arrow.names)
            if len(set(names)) < len(names):
                raise BadPart(path, "two of its columns have one name")
            yield file
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as fault:
        # its own message may hold what the file holds
        raise BadPart(path, f"it is no whole Parquet file ({type(fault).__name__})") from None


def _wanted(file: pq.ParquetFile, columns: Columns | None) -> list[str]:
    return [name for name in file.schema_arrow.names if _is_wanted(name, columns)]


def _empty(file: pq.ParquetFile, columns: Columns | None) -> pa.Table:
    fields = [file.schema_arrow.field(name) for name in _wanted(file, columns)]
    return pa.schema(fields).empty_table()


def _groups(
    file: pq.ParquetFile,
    data: bytes,
    path: str,
    columns: Columns | None,
    own: bool,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """Row groups of a part, each of which can be read in bounded memory."""
    wanted = _wanted(file, columns)
    for group in range(file.num_row_groups) if groups is None else groups:
        rows = file.metadata.row_group(group).num_rows
        if not 0 <= rows <= MOST_ROWS:
            raise BadPart(path, f"it claims {rows} rows in a group; one has {MOST_ROWS}")
        if not own:
            _check_sizes(file, data, path, wanted, [group])
        yield file.read_row_group(group, columns=wanted, use_threads=False)


def _check_sizes(
    file: pq.ParquetFile,
    data: bytes,
    path: str,
    columns: Sequence[str],
    groups: Sequence[int] | None = None,
) -> None:
    try:
        check_sizes(data, file, columns, groups)
    except ValueError as fault:
        raise BadPart(path, str(fault)) from None
