"""Where what a user keeps on a machine from one command to the next lies."""

from __future__ import annotations

import os
from pathlib import Path


def state_path(name: str) -> Path | None:
    """A file of this user's, below ``$XDG_STATE_HOME``; None where this user has no home.

    Args:
        name: of the file.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(given) if given.startswith("/") else Path.home() / ".local/state"
    except RuntimeError:
        return None
    return state / "uniaudio2" / name
