"""The two streams of a clip's tokens by name."""

from __future__ import annotations

from typing import Literal

Stream = Literal["reason", "recon"]
PAIR: tuple[Stream, ...] = ("reason", "recon")
"""The streams of one sound, in the order in which they are generated."""
