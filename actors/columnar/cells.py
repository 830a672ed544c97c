"""Arrow cells as Python values, whatever a file has put into them."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa

from uniaudio2.errors import BadRow

_UNREADABLE = (ValueError, OverflowError, TypeError, pa.ArrowException)


def plain_value(cell: pa.Scalar) -> Any:
    """The Python value of a cell.

    Raises:
        BadRow: `bad_manifest_row`, no Python value can hold it: text that is not UTF-8, a date
            outside the calendar.
    """
    try:
        return cell.as_py()
    except _UNREADABLE as fault:
        raise BadRow(
            "bad_manifest_row",
            f"a cell of type {cell.type} cannot be read: {_why(fault)}; repair it",
        ) from fault


def _why(fault: Exception) -> str:
    """Describe a fault of a cell in words that hold nothing of it."""
    if isinstance(fault, UnicodeDecodeError):
        return "its text is not valid UTF-8"
    return f"it has no value in Python ({type(fault).__name__})"


def canonical(value: Any) -> Any:
    """A value as JSON can hash it, whatever the order of its keys; bytes by a hash of them."""
    if isinstance(value, bytes):
        return {"blake2b": hashlib.blake2b(value, digest_size=16).hexdigest()}
    if isinstance(value, dict):
        # most cells are plain: wide rows of nulls are to cost little
        return {
            key: canonical(item) if isinstance(item, bytes | dict | list) else item
            for key, item in ((key, value[key]) for key in sorted(value))
        }
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


def id_text(value: Any) -> str | None:
    """A value of an `id` column as the id: numbers of one value have one id, whatever their type.

    Whole numbers are written as such, for engines make ``12.0`` of 12 where one id is null; other
    numbers without zeros at their end. None for what is no value: null, NaN, an infinity.

    Raises:
        UnicodeDecodeError: bytes that are no UTF-8.
    """
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Decimal):
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return None if value is None else str(value)


def shown_value(cell: pa.Scalar) -> Any:
    """The Python value of a cell, or a text that stands for one that cannot be read."""
    try:
        return plain_value(cell)
    except BadRow:
        if _is_text(cell.type):
            return cell.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")
        return f"<unreadable {cell.type}>"


def shown_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table, with a text in the place of every cell that cannot be read."""
    columns = {name: shown_values(table.column(name)) for name in table.column_names}
    return [
        {name: values[row] for name, values in columns.items()} for row in range(table.num_rows)
    ]


def shown_values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column, with a text in the place of every one that cannot be read."""
    try:
        values: list[Any] = column.to_pylist()
    except _UNREADABLE:
        return [shown_value(cell) for cell in column]
    return values


def valid_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with every text in valid UTF-8, so that any reader of the results can read it.

    Parquet files may hold any bytes as text. Wrong bytes are written out as ``\\xff``; a nested
    value that holds some becomes null.
    """
    try:
        column.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        cells = [_valid_value(cell) for cell in column]
        return pa.chunked_array([pa.array(cells, column.type)])
    return column


def _valid_value(cell: pa.Scalar) -> Any:
    value = shown_value(cell)
    if isinstance(value, str) and not _is_text(cell.type):
        return None
    return value


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
