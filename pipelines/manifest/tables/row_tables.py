"""Rows of text formats into Arrow, a few thousand at a time, with the types that all of them have.

A column's type follows from all its values, and values of mixed kinds become JSON text. Which
columns those are is known at the end; then the rows are read once more, for those columns alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa

from actors.batch.names import FAULT_COLUMN
from actors.columnar.value_bounds import MAX_VALUE_BYTES, TOO_LARGE, bounded
from pipelines.manifest.tables.column_types import is_storable, merged
from pipelines.manifest.tables.object_keys import ObjectKeys
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import CharacterCount

Row = dict[str, Any]
NumberedRows = Iterable[tuple[int, Row | str]]
ReadRows = Callable[[CharacterCount], NumberedRows]
MAX_COLUMNS = 1000
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_BATCH_ROWS = 2048
_BATCH_CHARACTERS = 1 << 20
_BATCH_CELLS = 1 << 17  # of rows with ever other keys, few of which lie in one batch


def is_unicode(value: Any) -> bool:
    """Tell whether every text in a value, keys too, can be written as UTF-8."""
    if isinstance(value, str):
        return value.isascii() or not _SURROGATES.search(value)
    if isinstance(value, dict):
        return all(map(is_unicode, value)) and all(map(is_unicode, value.values()))
    return not isinstance(value, list) or all(map(is_unicode, value))


def fault_row(row_id: str, message: str) -> Row:
    """A row that is known by name but cannot be used."""
    return {"id": row_id, FAULT_COLUMN: message}


def require_columns(count: int) -> None:
    """Refuse too many columns.

    Raises:
        ValueError: more than `MAX_COLUMNS`.
    """
    if count > MAX_COLUMNS:
        raise ValueError(
            f"{count} different columns; at most {MAX_COLUMNS}: put what varies into one"
        )


def table_of_rows(read: ReadRows, scan: Scan | None = None) -> pa.Table:
    """Rows by line number, or what is wrong with the line, as a table.

    Args:
        read: begins to read the rows; it tells the meter how many characters it took in. It is
            called a second time where columns hold values of mixed kinds.
        scan: how many rows suffice.

    Returns:
        a column for every key; a line that is no row, or whose id is none, becomes a row that
        fails. A value that is too large is left out, see `bounded`.

    Raises:
        ValueError: more than `MAX_COLUMNS` different keys.
    """
    scan = scan or Scan()
    as_text = scan.as_text
    keyed: set[str] = set()
    while True:
        meter = CharacterCount()
        columns = _Columns(as_text, scan.expected)
        for rows, faults in _batches(read(meter), meter):
            columns.add(rows, faults)
            if scan.suffices(columns.rows, meter.characters, columns.cells):
                break
        mixed = columns.mixed()
        keyed |= columns.keyed
        if not mixed:
            scan.noticed.keyed.update(keyed)
            scan.take(columns.rows, meter.characters, columns.cells)
            return columns.table()
        as_text |= mixed


def table_of_dicts(rows: list[Row]) -> pa.Table:
    """Rows with differing keys as one table, as they are.

    Raises:
        ValueError: more than `MAX_COLUMNS` different keys.
    """
    columns = _Columns(frozenset())
    for start in range(0, len(rows), _BATCH_ROWS):
        columns.add(rows[start : start + _BATCH_ROWS], {})
    mixed = columns.mixed()
    if mixed:
        columns = _Columns(mixed)
        for start in range(0, len(rows), _BATCH_ROWS):
            columns.add(rows[start : start + _BATCH_ROWS], {})
    return columns.table()


def _batches(
    numbered: NumberedRows, meter: CharacterCount
) -> Iterator[tuple[list[Row], dict[int, int]]]:
    """Some rows at a time, and which of them failed at which line."""
    rows: list[Row] = []
    faults: dict[int, int] = {}
    names: set[str] = set()
    begun = meter.characters
    for number, row in numbered:
        fault = _fault(row)
        if fault is not None:
            faults[len(rows)] = number
            rows.append({FAULT_COLUMN: f"line {number}: {fault}"})
        elif isinstance(row, dict):
            rows.append(row if row.get("id") is None else {**row, "id": str(row["id"])})
            names.update(row)
        is_full = len(rows) == _BATCH_ROWS or len(rows) * len(names) >= _BATCH_CELLS
        if is_full or meter.characters - begun > _BATCH_CHARACTERS:
            yield rows, faults
            rows, faults, names, begun = [], {}, set(), meter.characters
    if rows:
        yield rows, faults


def _fault(row: Row | str) -> str | None:
    if isinstance(row, str):
        return row
    if not row:
        return "it names nothing; give what the task needs, or remove the line"
    if not is_unicode(row):
        return "text that is not valid UTF-8; save it as UTF-8"
    row_id = row.get("id")
    if isinstance(row_id, bool) or not isinstance(row_id, str | int | None):
        return f"an id that is a {type(row_id).__name__}; give a text or whole number"
    return None


class _Columns:
    """Columns as they grow.

    Args:
        as_text: columns whose values are written as JSON.
        expected: types that columns have in other files.

    Attributes:
        keyed: columns of objects whose keys are data.
    """

    def __init__(
        self, as_text: frozenset[str], expected: Mapping[str, pa.DataType] | None = None
    ) -> None:
        self.rows = 0
        self._as_text, self._expected = as_text, expected or {}
        self._mixed: set[str] = set()
        self._keys: dict[str, ObjectKeys] = {}
        self.keyed: set[str] = set()
        self._types: dict[str, pa.DataType] = {}
        self._batches: list[tuple[int, dict[str, pa.Array], dict[int, int]]] = []
        self._has_ids = False

    @property
    def cells(self) -> int:
        """Rows times columns."""
        return self.rows * len(self._types)

    def add(self, rows: list[Row], faults: dict[int, int]) -> None:
        """Append rows; `faults` names those that are lines without a row, by line number."""
        self.rows += len(rows)
        names = list(dict.fromkeys(name for row in rows for name in row))
        self._has_ids = self._has_ids or "id" in names
        require_columns(len(self._types.keys() | names))
        arrays: dict[str, pa.Array] = {}
        for name in names:
            self._types.setdefault(name, self._expected.get(name, pa.null()))
            if name not in self._mixed:
                arrays[name] = self._array(name, [row.get(name) for row in rows])
        arrays = {name: array for name, array in arrays.items() if array is not None}
        if any(array.nbytes > MAX_VALUE_BYTES for array in arrays.values()):
            arrays = _without_large(arrays)
            if TOO_LARGE in arrays:
                self._types[TOO_LARGE] = pa.string()
        self._batches.append((len(rows), arrays, faults))

    def _array(self, name: str, values: list[Any]) -> pa.Array | None:
        """Some values of a column; None, and no more of it, once kinds are mixed."""
        if name in self._as_text:
            self._types[name] = pa.string()
            plain = (str, type(None))
            texts = [v if isinstance(v, plain) else json.dumps(v, default=str) for v in values]
            return pa.array(texts, pa.string())
        array = None
        if self._keys.setdefault(name, ObjectKeys()).add(values):
            self.keyed.add(name)
        else:
            with suppress(pa.ArrowException, ValueError, OverflowError):
                array = pa.array(values)
        common = None if array is None else merged(self._types[name], array.type)
        if common is None:
            self._mixed.add(name)
            for _, arrays, _ in self._batches:
                arrays.pop(name, None)
            return None
        self._types[name] = common
        return array

    def mixed(self) -> frozenset[str]:
        """Columns that must be text: of mixed kinds, of a kind that no file can hold, or of objects
        whose keys are data."""
        self.keyed.update(name for name, keys in self._keys.items() if keys.are_data())
        self._mixed |= self.keyed
        for name, kind in self._types.items():
            if name not in self._mixed and not is_storable(kind):
                self._mixed.add(name)
        for name in self._types.keys() - self._mixed:
            try:
                self._bring_together(name)
            except (pa.ArrowException, ValueError, OverflowError):
                self._mixed.add(name)
        return frozenset(self._mixed)

    def _bring_together(self, name: str) -> None:
        kind = self._types[name]
        for _, arrays, _ in self._batches:
            if name in arrays and arrays[name].type != kind:
                arrays[name] = pa.array(arrays[name].to_pylist(), kind)

    def table(self) -> pa.Table:
        """All rows; those without a key hold null there."""
        names = list(self._types)
        if self._has_ids:
            self._fill_ids()
            before = [name for name in names if name in ("id", FAULT_COLUMN)]
            if before[0] != "id":  # a failed line has its id first
                names.remove("id")
                names.insert(names.index(FAULT_COLUMN), "id")
        longest = max((rows for rows, *_ in self._batches), default=0)
        columns: dict[str, pa.ChunkedArray] = {}
        for name in names:
            kind = self._types[name]
            absent = pa.nulls(longest, kind)  # shared by all rows without the key
            parts = [arrays.pop(name, absent[:rows]) for rows, arrays, _ in self._batches]
            columns[name] = pa.chunked_array([part.cast(kind) for part in parts], kind)
        return pa.table(columns)

    def _fill_ids(self) -> None:
        """Ids of failed lines.

        Without an id column, ids come from the rows' contents, and the number is part of them.
        """
        for rows, arrays, faults in self._batches:
            if not faults:
                continue
            ids = arrays["id"].to_pylist() if "id" in arrays else [None] * rows
            for row, number in faults.items():
                ids[row] = f"line-{number}"
            arrays["id"] = pa.array(ids, pa.string())
            self._types["id"] = pa.string()


def _without_large(arrays: dict[str, pa.Array]) -> dict[str, pa.Array]:
    batch = bounded(pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays)))
    return dict(zip(batch.schema.names, batch.columns, strict=True))
