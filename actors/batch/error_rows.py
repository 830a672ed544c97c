"""The errors table: which row failed where and why, with the row itself as JSON."""

from __future__ import annotations

import json
import sys
from math import isfinite
from typing import Any

import pyarrow as pa

from actors.batch.channel_rows import asked_of
from actors.batch.names import ERROR_COLUMNS, ERROR_KIND, ERROR_MESSAGE, ERROR_STAGE, ID, INPUT
from actors.batch.unit import UnitSpec, row_ids
from actors.columnar.cells import shown_rows, shown_value
from actors.columnar.value_bounds import TOO_LARGE
from uniaudio2.audio.embedded import is_embedded

ERRORS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
        ("input", pa.string()),
    ]
)
_SHOWN_CHARACTERS = 10_000


def json_value(value: Any, longest: int = sys.maxsize) -> Any:
    """A value as strict JSON can hold it; bytes, and what is longer than `longest`, are named."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        if is_embedded(value):
            return f"<audio of {len(value)} characters>"
        cut = len(value) > longest
        return f"{value[:longest]}… <{len(value)} characters>" if cut else value
    if isinstance(value, dict):
        return {str(key): json_value(item, longest) for key, item in value.items()}
    if isinstance(value, list | tuple):
        cut = len(value) > longest
        return f"<{len(value)} values>" if cut else [json_value(item, longest) for item in value]
    if isinstance(value, bool | int | None) or (isinstance(value, float) and isfinite(value)):
        return value
    return str(value)


def input_json(row: dict[str, Any]) -> str:
    """An input row as strict JSON for the errors table; bytes and very long values are named."""
    return json.dumps(json_value(row, _SHOWN_CHARACTERS), ensure_ascii=False, allow_nan=False)


def errors_table(table: pa.Table, bad: list[int]) -> pa.Table:
    """The rows of a unit that some stage gave up on, as the errors table shows them."""
    rows = table.take(pa.array(bad, pa.int64()))
    facts = rows.select([ID, *ERROR_COLUMNS]).to_pylist()
    return pa.Table.from_pylist(
        [
            {
                "id": row[ID],
                "stage": row[ERROR_STAGE],
                "kind": row[ERROR_KIND],
                "message": row[ERROR_MESSAGE],
                "attempts": 1,
                "input": input_json(values),
            }
            for row, values in zip(facts, _input_rows(rows.column(INPUT)), strict=True)
        ],
        ERRORS_SCHEMA,
    )


def crash_table(spec: UnitSpec, kind: str, message: str, attempts: int) -> pa.Table:
    """The errors table's row for a row that no worker survived, or one for each of its channels
    that was asked for."""
    row_id, row_json = _input_of(spec.singles[0])
    names = asked_of(row_id, spec.wanted) if row_id else ()
    values = [[name, "run", kind, message, attempts, row_json] for name in names or [row_id]]
    rows = [dict(zip(ERRORS_SCHEMA.names, row, strict=True)) for row in values]
    return pa.Table.from_pylist(rows, ERRORS_SCHEMA)


def _input_rows(inputs: pa.ChunkedArray) -> list[dict[str, Any]]:
    names = [field.name for field in inputs.type]
    return [{name: shown_value(cell[name]) for name in names} for cell in inputs]


def _input_of(spec: UnitSpec) -> tuple[str | None, str]:
    """Id and JSON of a single row, as far as its file can be read."""
    try:
        raw = spec.read()
        (row,) = shown_rows(raw)
        row.pop("id", None)
        row.pop(TOO_LARGE, None)
        return row_ids(raw)[0], input_json(row)
    except (pa.ArrowException, OSError) as fault:
        raw = spec.read(["id"])
        return row_ids(raw)[0], input_json({"unreadable": f"{type(fault).__name__}: {fault}"})
