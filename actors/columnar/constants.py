"""Columns that have one value in all rows of a file: those that its folders' names hold."""

from __future__ import annotations

import json

import pyarrow as pa

Constant = str | int | None
_TYPES = {"string": pa.string(), "int64": pa.int64()}


def constants_text(constants: dict[str, tuple[str, Constant]]) -> str:
    """Constants by name as text, each of a type ``"string"`` or ``"int64"``; "" for none."""
    return json.dumps(constants) if constants else ""


def constants_schema(text: str) -> pa.Schema:
    """The columns of constants, see `constants_text`."""
    facts = json.loads(text) if text else {}
    return pa.schema([(name, _TYPES[kind]) for name, (kind, _) in facts.items()])


def with_constants(table: pa.Table, text: str) -> pa.Table:
    """A table and, behind its own columns, those of constants, see `constants_text`."""
    for name, (kind, value) in (json.loads(text) if text else {}).items():
        column = pa.repeat(pa.scalar(value, _TYPES[kind]), table.num_rows)
        table = table.append_column(pa.field(name, _TYPES[kind]), column)
    return table
