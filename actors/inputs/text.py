"""The texts of a row, as its task wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uniaudio2.errors import BadRow
from uniaudio2.tasks.spec import TaskSpec

MAX_TEXT_CHARACTERS = 1_000_000


def read_text(row: Mapping[str, Any], column: str, task: TaskSpec) -> str:
    """The text of a row for a column of the task, or of the column that serves in its place.

    Raises:
        BadRow: `missing_value`, `empty_text`, `bad_text` or `too_long`.
    """
    source = column if column in row else task.fallback.get(column, column)
    value = row.get(source)
    if value is None:
        raise BadRow("missing_value", f"column {source!r} is null; task {task.name} needs it")
    text = check_text(value, source)
    if not text.strip():
        raise BadRow("empty_text", f"column {source!r} is {text[:40]!r}; give a text")
    return text


def check_text(value: Any, column: str) -> str:
    """A value as text.

    Raises:
        BadRow: `bad_text` when it is neither text nor number, `too_long`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(
            "bad_text", f"column {column!r} holds a {type(value).__name__}; give a text or a number"
        )
    text = str(value)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadRow(
            "too_long",
            f"column {column!r} has {len(text)} characters; at most {MAX_TEXT_CHARACTERS}; cut it",
        )
    return text
