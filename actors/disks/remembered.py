"""Numbers that a machine learnt about itself and need not learn again: a small file of this user's.

It is a convenience: where it cannot be read or written, nothing is remembered and nothing fails.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from contextlib import suppress

from actors.disks.user_state import state_path

_FILE = "remembered.json"
_MOST_BYTES = 1 << 20
_MOST_KEYS = 500


def _here(key: str) -> str:
    """A key of this machine: a home may be shared by several."""
    return f"{platform.node()}:{os.cpu_count()}:{key}"


def _read() -> dict[str, float]:
    path = state_path(_FILE)
    try:
        if path is None or path.stat().st_size > _MOST_BYTES:
            return {}
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, int | float)}


def remembered(key: str) -> float | None:
    """What was remembered on this machine; None where nothing is.

    Args:
        key: names what it is, and all that it depends on.
    """
    return _read().get(_here(key))


def remember(key: str, value: float) -> None:
    """Keep a number for `remembered`; of many, the latest."""
    path = state_path(_FILE)
    if path is None:
        return
    known = _read()
    known.pop(_here(key), None)
    known[_here(key)] = value
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".remembered-")
        with os.fdopen(handle, "w") as file:
            json.dump(dict(list(known.items())[-_MOST_KEYS:]), file)
        os.replace(name, path)
