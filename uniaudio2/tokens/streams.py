"""The two streams of a clip's tokens by name."""

from __future__ import annotations

from typing import Literal

Stream = Literal["reason", "recon"]
PAIR: tuple[Stream, ...] = ("reason", "recon")
"""The streams of one sound, in the order in which they are generated."""


def shortest_answer(answer: tuple[Stream, ...]) -> int:
    """Count the frames of the shortest answer that holds all streams: bos and a frame of each,
    and eos between them."""
    return 3 * len(answer) - 1
