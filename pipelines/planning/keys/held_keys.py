"""The keys of a plan's rows: 20 bytes each, which are 2 GB of a hundred million rows."""

from __future__ import annotations

from actors.batch.unit import HeldBytes
from actors.prefetch.spool import Spool

_MOST_IN_MEMORY = 8 << 20
_MOST_BYTES = 1 << 40


class HeldKeys:
    """Holds the keys of units: the first in memory, all others in a temporary file, as far as it
    has room."""

    def __init__(self) -> None:
        self._left = _MOST_IN_MEMORY
        self._spool: Spool | None = None

    def hold(self, keys: bytes) -> bytes | HeldBytes:
        """Keep the keys of a unit's rows, one behind the other."""
        if len(keys) <= self._left:
            self._left -= len(keys)
            return keys
        self._left = 0
        self._spool = self._spool or Spool(_MOST_BYTES)
        return self._spool.keep(0, keys) or keys
