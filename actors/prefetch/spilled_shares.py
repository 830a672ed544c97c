"""Shares of what is larger than memory: each grows in a temporary file, and is read whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.prefetch.spool import Kept, Spool

_MOST_BYTES = 1 << 40


class SpilledShares:
    """Bytes of a number of shares; those for which the disk has no room stay in memory.

    Args:
        count: of shares.
    """

    def __init__(self, count: int) -> None:
        self._spool: Spool | None = None
        self._shares: list[list[Kept | bytes]] = [[] for _ in range(count)]

    def add(self, pieces: Iterable[bytes]) -> None:
        """Append a piece to each share."""
        self._spool = self._spool or Spool(_MOST_BYTES)
        for share, piece in zip(self._shares, pieces, strict=True):
            if piece:
                share.append(self._spool.keep(0, piece) or piece)

    def __iter__(self) -> Iterator[bytes]:
        """Each share, one in memory at a time."""
        for share in self._shares:
            yield b"".join(one.read() if isinstance(one, Kept) else one for one in share)
