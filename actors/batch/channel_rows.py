"""Names of rows that are one channel each of a row of the manifest: ``id/ch0``, ``id/ch1``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CHANNEL = re.compile(r"/ch(0|[1-9]\d*)$")


def channel_id(row_id: str, channel: int) -> str:
    """The id of one channel of a row."""
    return f"{row_id}/ch{channel}"


def whole_id(row_id: str) -> str:
    """The id of the row that a channel is of; an id without a channel is its own."""
    return _CHANNEL.sub("", row_id)


def asked_of(row_id: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """Those of the wanted ids that a row of the manifest stands for, its own or its channels'."""
    return tuple(name for name in wanted if row_id in (name, whole_id(name)))


def channels_asked(row_id: str, wanted: Iterable[str]) -> tuple[int, ...] | None:
    """The channels that are wanted of a row; None for all that its file has."""
    asked = asked_of(row_id, wanted)
    if not asked or row_id in asked:
        return None
    return tuple(int(name.rpartition("/ch")[2]) for name in asked)
