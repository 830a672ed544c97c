"""Which channel of its file a row is about, in the words of several kinds of manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from actors.batch.names import CHANNEL_COLUMNS, NAMED_CHANNELS
from uniaudio2.errors import BadRow

_ALL = ("mix", "average")
_OWN, _LOOSE, _NEMO = CHANNEL_COLUMNS


def channel_of(row: Mapping[str, Any]) -> int | Literal["mix"] | None:
    """Wanted channel of a row, counted from 0.

    The first of `CHANNEL_COLUMNS` that has a value decides. `channel` may be the name of anything;
    where it is no channel the row is treated as if it had none.

    Returns:
        a number, ``"mix"`` for all of them together, or None where the row does not say.

    Raises:
        BadRow: `bad_span`, the value is no channel.
    """
    name = next((name for name in CHANNEL_COLUMNS if row.get(name) is not None), None)
    if name is None:
        return None
    found = _read(row[name])
    if found is None and name != _LOOSE:
        more = "; the average of some is not taken" if name == _NEMO else ""
        raise BadRow(
            "bad_span",
            f"{name} is {row[name]!r:.40}; give a whole number from 0, left, right or mix{more}",
        )
    return found


def _read(value: Any) -> int | Literal["mix"] | None:
    """A value as a channel; None where it is none."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _ALL:
            return "mix"
        if word in NAMED_CHANNELS:
            return NAMED_CHANNELS[word]
        if word.startswith("["):
            try:  # a column of mixed kinds arrives as JSON
                value = json.loads(word)
            except (ValueError, RecursionError):
                return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return None
    try:
        return int(value) if int(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def holds_channels(kind: pa.DataType) -> bool:
    """Whether a column of that type can say which channel a job chose."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind))


def with_channels(schema: pa.Schema) -> pa.Schema:
    """Columns of a manifest, with one for the channel that a job chooses where there is none."""
    name = CHANNEL_COLUMNS[0]
    if name not in schema.names:
        return schema.append(pa.field(name, pa.int64()))
    place = schema.get_field_index(name)
    if pa.types.is_null(schema.field(place).type):
        return schema.set(place, pa.field(name, pa.int64()))
    return schema
