"""What a header says of samples that are stored as they are."""

from __future__ import annotations

from typing import NamedTuple


class Undecodable(ValueError):
    """A decoder cannot go on; the message holds none of the file's bytes."""


class Stored(NamedTuple):
    """Where a file holds its samples, and how.

    Attributes:
        rate: in Hz.
        channels: that take turns.
        encoding: ``s16`` and the like.
        big: whether the high byte comes first.
        first: byte of the first sample.
        size: in bytes, of what is there.
        speakers: see `decoders.block.Block`.
        missing: bytes that the header announces and the file does not hold.
        unfinished: see `decoders.block.Marks`.
    """

    rate: int
    channels: int
    encoding: str
    big: bool
    first: int
    size: int
    speakers: tuple[str, ...] = ()
    missing: int = 0
    unfinished: bool = False
