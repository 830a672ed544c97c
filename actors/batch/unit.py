"""A unit: the rows of the manifest that are read, computed, written and committed together."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import pyarrow as pa

from actors.batch.names import ROWS, SPEC
from actors.batch.row_hashes import row_hashes
from actors.columnar.cells import id_text
from actors.columnar.column_names import ColumnNames
from actors.columnar.constants import constants_schema, with_constants
from actors.columnar.file_rows import read_file_rows


class HeldBytes(Protocol):
    """Bytes that lie elsewhere, as in a temporary file."""

    def read(self) -> bytes:
        """The bytes."""
        ...


KEY_BYTES = 20  # of a row, see `row_keys`
_STAYS = {"rows", "keys", "former", "members"}  # those travel beside, or not at all


@dataclass(frozen=True, slots=True)  # a large manifest has a million of them
class UnitSpec:
    """Where the rows of a unit are.

    Attributes:
        unit: its number; commit order and file names follow it.
        source: the Parquet or Arrow file that holds the rows, or "" when `rows` carries them.
        start: first row inside the source.
        stop: row after the last.
        base: what relative audio paths are relative to.
        fingerprint: hash of the keys of the rows that are to be done.
        rows: the rows themselves as an Arrow stream, for small text manifests.
        row: when set, only this row of the unit (used to find the row that kills a worker).
        only: when set, only these rows of the unit (used to try failed rows again).
        wanted: when set, the ids of these rows that are to come back: each channel of a row may be
            one of its own, see `channel_rows`.
        kept: address of tokens that an earlier run kept of this unit, or "".
        tar: the tar whose members the rows name by byte ranges, or "".
        constants: columns that are the same in all rows of `source`, see `constants_text`.
        names: what the columns of `source` are called here, and its ids, see `ColumnNames.text`.
        keys: what makes its rows the same from run to run, 20 bytes a row, see `row_keys`; this
            and the next are the driver's, and do not travel.
        former: the fingerprint that builds gave it which knew no keys.
        attempt: how often its rows were made before, in jobs that verify.
        earlier: the file that holds the best of these attempts, or "".
        shown_keys: the keys of rows that are to be done, where they travel: in base64.
        members: rows of other units, which are done together here.
    """

    unit: int
    source: str
    start: int
    stop: int
    base: str
    fingerprint: str
    rows: bytes = b""
    row: int | None = None
    kept: str = ""
    only: tuple[int, ...] = ()
    tar: str = ""
    constants: str = ""
    wanted: tuple[str, ...] = ()
    names: str = ""
    keys: bytes | HeldBytes = b""
    former: str = ""
    attempt: int = 0
    earlier: str = ""
    shown_keys: str = ""
    members: tuple[UnitSpec, ...] = ()

    @property
    def row_keys(self) -> bytes:
        """The keys of its rows, one behind the other."""
        return self.keys if isinstance(self.keys, bytes) else self.keys.read()

    @property
    def row_numbers(self) -> tuple[int, ...]:
        """The rows that are to be done, by their places in the unit."""
        if self.row is not None:
            return (self.row,)
        return self.only or tuple(range(self.stop - self.start))

    @property
    def row_count(self) -> int:
        return len(self.row_numbers)

    @property
    def asked(self) -> int:
        """How many rows are to come back at least."""
        return len(self.wanted) or self.row_count

    def to_table(self) -> pa.Table:
        """One Arrow row, as it enters the first stage."""
        return units_table([self])

    def _facts(self) -> str:
        names = [field.name for field in fields(self)]
        facts = {name: getattr(self, name) for name in names if name not in _STAYS}
        return json.dumps({**facts, "is_joined": bool(self.members)})

    @staticmethod
    def from_table(table: pa.Table) -> UnitSpec:
        """Undo `to_table`."""
        facts: dict[str, Any] = json.loads(table.column(SPEC)[0].as_py())
        facts |= {name: tuple(facts[name]) for name in ("only", "wanted")}
        rows = table.column(ROWS)[0].as_py()
        if not facts.pop("is_joined"):
            return UnitSpec(**facts, rows=rows)
        joined = pa.ipc.open_stream(rows).read_all()
        members = (UnitSpec.from_table(joined.slice(n, 1)) for n in range(joined.num_rows))
        return UnitSpec(**facts, members=tuple(members))

    @property
    def singles(self) -> tuple[UnitSpec, ...]:
        """The units, each of one source, that its rows are read from, in their order."""
        if not self.members:
            return (self,)
        if self.row is None:
            return self.members
        place = self.row
        for member in self.members:
            if place < member.row_count:
                return (replace(member, row=member.row_numbers[place]),)
            place -= member.row_count
        raise IndexError(f"unit {self.unit} has no row {self.row}")

    @property
    def attempts(self) -> list[tuple[int, bytes, str]]:
        """Of each of its rows, where keys travel: the attempt, its key, and where earlier ones
        are; for a unit of one source."""
        keys = base64.b64decode(self.shown_keys)
        numbers = self.only or range(self.stop - self.start)
        found = {
            number: keys[start : start + KEY_BYTES]
            for number, start in zip(numbers, range(0, len(keys), KEY_BYTES), strict=True)
        }
        return [(self.attempt, found[number], self.earlier) for number in self.row_numbers]

    def read(
        self,
        columns: list[str] | None = None,
        limits: Mapping[str, int] | None = None,
        paths_only: Sequence[str] = (),
    ) -> pa.Table:
        """The unit's rows with the manifest's own columns, or those that are named.

        Values that are too large are left out, see `bounded`; of columns in `paths_only` no bytes
        are read where that can be told apart.
        """
        if self.rows:
            table = pa.ipc.open_stream(self.rows).read_all()
            table = table.select(columns) if columns else table
        else:
            table = self._of_file(columns, limits, paths_only)
        if self.row is not None:
            return table.slice(self.row, 1)
        return table.take(pa.array(self.only, pa.int64())) if self.only else table

    def _of_file(
        self,
        columns: list[str] | None,
        limits: Mapping[str, int] | None,
        paths_only: Sequence[str],
    ) -> pa.Table:
        names = ColumnNames.of_text(self.names)
        own = names.own(columns)
        if own and set(own) & set(constants_schema(self.constants).names):
            return self._of_file(None, limits, paths_only).select(columns)
        if own == []:  # ids that are places
            table = pa.table({"": pa.nulls(self.stop - self.start)})
        else:
            held = () if names.hashes_rows else names.own(paths_only) or ()
            table = read_file_rows(
                self.source, self.start, self.stop, own, names.own_limits(limits), held
            )
        if not columns:
            table = with_constants(table, self.constants)
        table = names.table(table, self.start)
        return table.select(columns) if columns and self.names else table


def unit_fingerprint(keys: bytes) -> str:
    """The hash of the keys of a unit's rows."""
    return hashlib.blake2b(keys, digest_size=16).hexdigest()


def units_table(units: Sequence[UnitSpec]) -> pa.Table:
    """Units as Arrow rows, a row each; `UnitSpec.from_table` reads the first row of a table."""
    specs = pa.array([unit._facts() for unit in units], pa.string())
    rows = pa.array(
        [to_stream(units_table(unit.members)) if unit.members else unit.rows for unit in units],
        pa.large_binary(),
    )
    return pa.table({SPEC: specs, ROWS: rows})


def to_stream(table: pa.Table, compression: str | None = None) -> bytes:
    """A table as the bytes of an Arrow stream; `compression` such as ``zstd`` makes it smaller."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def row_ids(table: pa.Table) -> list[str | None]:
    """The id of every row: its `id` column as text, else the hash of all its values.

    A null id stays None; the plan refuses it.

    Raises:
        ValueError: the `id` column holds neither text nor numbers.
    """
    if "id" in table.column_names:
        return _column_ids(table.column("id"))
    return list(row_hashes(table))


def _column_ids(column: pa.ChunkedArray) -> list[str | None]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not isinstance(kind, pa.UuidType) and not any(test(kind) for test in _ID_KINDS):
        raise ValueError(
            f"column 'id' has type {kind}; ids are text or numbers: convert it, or drop it "
            "to get ids from the rows' contents"
        )
    try:
        return [id_text(value) for value in column.to_pylist()]
    except UnicodeDecodeError as fault:
        raise ValueError("column 'id' is not valid UTF-8; write the ids as UTF-8") from fault


_ID_KINDS = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
    pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null,
)  # fmt: skip
