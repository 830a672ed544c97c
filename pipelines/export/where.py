"""A condition in SQL on the columns of results, such as ``score_wer < 0.1 and duration_s > 1``."""

from __future__ import annotations

import posixpath
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.columnar.part_sizes import check_sizes
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from uniaudio2.frozen import nearest
from uniaudio2.rules.rule import SHORT
from uniaudio2.shown import quoted, shown

if TYPE_CHECKING:
    import duckdb

_ROW = "#row"
_SHOWN_CHARACTERS = 200
_MOST_BYTES = 4 << 30


class Where:
    """Decides by DuckDB which rows are wanted; it may open no file and load nothing.

    A value that is null or NaN is neither small nor large: a comparison with it holds for no row.
    Scores may be named without ``score_``, as in the rules of a job, see `Rule`.

    Args:
        condition: one expression that is true or false.
        schema: columns of the results.

    Raises:
        UsageError: DuckDB is missing, or the condition is none on these columns.
    """

    def __init__(self, condition: str, schema: pa.Schema) -> None:
        if find_spec("duckdb") is None:
            raise UsageError(
                "--where needs duckdb; `pip install 'uniaudio2-batch[formats]'` brings it"
            )
        import duckdb

        self._condition, self._schema = condition, schema
        self._error = duckdb.Error
        self._database = duckdb.connect(
            ":memory:", config={"enable_external_access": "false", "threads": "1"}
        )
        self._database.execute("SET lock_configuration = true")
        named = condition.lower()
        short = {name: name.removeprefix(SHORT) for name in schema.names if name.startswith(SHORT)}
        self._columns = [
            name for name in schema.names if name.lower() in named or short.get(name, name) in named
        ]
        # a column of that name is meant where there is one
        self._short = {
            name: own
            for name in self._columns
            if (own := short.get(name)) and own not in schema.names
        }
        self._check()

    def _check(self) -> None:
        """Bind the condition to columns without rows: what is said of it holds no value of any."""
        asked = f"--where {quoted(self._condition)}"
        try:
            found = self._chosen(self._schema.empty_table())
            kind = str(found.project(f"({self._condition}) AS is_wanted").types[0])
        except self._error as fault:
            what = str(fault).partition("\n")[0].rstrip("!.")
            name = _unknown_column(str(fault))
            hint = f"; {nearest(name, self._schema.names)}" if name else ""
            raise UsageError(f"{asked}: {shown(what, _SHOWN_CHARACTERS)}{hint}") from fault
        if kind != "BOOLEAN":
            raise UsageError(
                f"{asked} is a value of type {kind}; give what is true or false, such as a "
                "comparison"
            )

    def _chosen(self, table: pa.Table) -> duckdb.DuckDBPyRelation:
        columns = {name: _without_nan(table[name]) for name in self._columns}
        columns |= {short: columns[name] for name, short in self._short.items()}
        columns[_ROW] = pa.array(np.arange(table.num_rows))
        return self._database.from_arrow(pa.table(columns)).filter(self._condition)

    def mask(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Whether each row of a part is wanted, ``[N]``.

        Raises:
            UsageError: the condition cannot be computed for some row.
        """
        for name in self._columns:  # parts of other builds may lack some
            if name not in table.column_names:
                kind = self._schema.field(name).type
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
        wanted = np.zeros(table.num_rows, bool)
        try:
            rows: Any = self._chosen(table).project(f'"{_ROW}"').fetchnumpy()[_ROW]
        except self._error as fault:
            raise UsageError(
                f"--where {quoted(self._condition)} cannot be computed for some row "
                f"({type(fault).__name__}); try_cast gives null where a value does not fit"
            ) from fault
        wanted[np.asarray(rows, np.int64)] = True
        return wanted


def ids_in(address: str) -> pa.Array:
    """The ids that a Parquet file lists.

    Args:
        address: of a file with a column `id`; a local path or URL.

    Raises:
        UsageError: it is not there, or lists no ids.
    """
    folder, name = posixpath.split(address)
    try:
        data = Storage(folder or ".").read(name, _MOST_BYTES)
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            check_sizes(data, file, ["id"])  # a few kilobytes can stand for gigabytes
            ids = file.read(columns=["id"])["id"]
        return ids.cast(pa.string()).combine_chunks()
    except FileNotFoundError as fault:
        raise UsageError(
            f"{address}: there is no such file; `uniaudio2 dedup` makes one"
        ) from fault
    except (pa.ArrowException, KeyError, ValueError) as fault:
        raise UsageError(f"{address}: a Parquet file with a column 'id' is needed") from fault


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _unknown_column(message: str) -> str:
    """The column that DuckDB did not find; "" where that is not what it says."""
    _, is_that, rest = message.partition('Referenced column "')
    return rest.partition('"')[0] if is_that else ""
