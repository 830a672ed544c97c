"""Sets of hashes that are larger than memory should be: kept by their first bits, on the disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from actors.prefetch.spool import Kept, Spool

Hashes = npt.NDArray[np.uint64]
_BITS = 6  # hashes with the same first ones lie together
_MOST_IN_MEMORY = 1 << 20
_MOST_BYTES = 1 << 40


class SpilledHashes:
    """Hashes of 64 bits, each as often as it is added: all are in memory as long as they are few.

    Args:
        most_in_memory: more go to a temporary file, as far as it has room.
    """

    def __init__(self, most_in_memory: int = _MOST_IN_MEMORY) -> None:
        self._most = most_in_memory
        self._blocks: list[Hashes] = []
        self._waiting = self._count = 0
        self._spool: Spool | None = None
        self._spilled: list[list[Kept | Hashes]] = [[] for _ in range(1 << _BITS)]

    def __len__(self) -> int:
        return self._count

    def add(self, hashes: Hashes) -> None:
        """Take in hashes, ``[N]``."""
        self._blocks.append(hashes)
        self._count += len(hashes)
        self._waiting += len(hashes)
        if self._waiting > self._most:
            self._spill()

    def _spill(self) -> None:
        self._spool = self._spool or Spool(_MOST_BYTES)
        hashes = np.sort(np.concatenate(self._blocks))
        for number, some in enumerate(_split(hashes)):
            if len(some):
                kept = self._spool.keep(0, some.tobytes())
                self._spilled[number].append(kept or some.copy())
        self._blocks, self._waiting = [], 0

    def partitions(self) -> Iterator[Hashes]:
        """All hashes in ascending order, ``[N]`` for each value of their first bits."""
        waiting = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._blocks]))
        for spilled, some in zip(self._spilled, _split(waiting), strict=True):
            blocks = [
                np.frombuffer(block.read(), np.uint64) if isinstance(block, Kept) else block
                for block in spilled
            ]
            yield np.sort(np.concatenate([*blocks, some])) if blocks else some


def _split(hashes: Hashes) -> list[Hashes]:
    """Ascending hashes by their first bits."""
    bounds = np.arange(1, 1 << _BITS, dtype=np.uint64) << np.uint64(64 - _BITS)
    return np.split(hashes, np.searchsorted(hashes, bounds))
