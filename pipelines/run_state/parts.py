"""Parts of an OUTPUT as they are read: anyone may have written them, so they are checked first."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.batch.error_rows import ERRORS_SCHEMA
from actors.columnar.part_sizes import check_sizes
from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed

MOST_ROWS = 4096  # of a unit
_MOST_PACKED = 1 << 30


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
    """A data part, or those of the columns that it has.

    Raises:
        BadPart: it is missing, a link, no Parquet, or not as a run writes it.
        RunFailed: storage did not answer.
    """
    return table_of(part_bytes(storage, path), path, columns)


def read_errors_part(storage: Storage, path: str) -> pa.Table:
    """An errors part; `BadPart` and `RunFailed` are raised as by `read_part`."""
    return errors_table_of(part_bytes(storage, path), path)


def errors_table_of(data: bytes, path: str) -> pa.Table:
    """An errors part from its contents, see `read_errors_part`."""
    table = _read(data, path, ERRORS_SCHEMA.names)
    if not table.schema.equals(ERRORS_SCHEMA):
        raise BadPart(path, "its columns are not those of the errors table")
    return table


def part_bytes(storage: Storage, path: str) -> bytes:
    """The contents of a part; `BadPart` where there is none."""
    try:
        return storage.read(path, _MOST_PACKED)
    except FileNotFoundError as fault:
        raise BadPart(path, "it is missing") from fault
    except ForeignPath as fault:
        raise BadPart(path, "it is a link, or what no run puts there") from fault
    except OSError as fault:
        raise RunFailed(f"storage: {fault}; the same command goes on") from fault


def table_of(data: bytes, path: str, columns: Columns | None = None, own: bool = False) -> pa.Table:
    """A data part from its contents, see `read_part`.

    Args:
        data: contents of the part.
        path: of the part, for messages.
        columns: those that are read; None for all.
        own: a run of this user wrote exactly these bytes: they may stand for as much as rows of
            a run do, such as the codes of recordings of many hours.
    """
    table = _read(data, path, columns, own)
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


def _read(data: bytes, path: str, columns: Columns | None, own: bool = False) -> pa.Table:
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            facts = file.metadata
            if not 0 <= facts.num_rows <= MOST_ROWS:
                raise BadPart(path, f"it claims {facts.num_rows} rows; a unit has {MOST_ROWS}")
            names = list(file.schema_arrow.names)
            if len(set(names)) < len(names):
                raise BadPart(path, "two of its columns have one name")
            wanted = [name for name in names if _is_wanted(name, columns)]
            try:
                if not own:
                    check_sizes(data, file, wanted)
            except ValueError as fault:
                raise BadPart(path, str(fault)) from None
            return file.read(columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as fault:
        # its own message may hold what the file holds
        raise BadPart(path, f"it is no whole Parquet file ({type(fault).__name__})") from None
