"""Sets of hashes that are larger than memory should be: kept by their first bits, on the disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from actors.prefetch.spilled_shares import SpilledShares

Hashes = npt.NDArray[np.uint64]
_BITS = 6  # hashes with the same first ones lie together
_MOST_IN_MEMORY = 1 << 20


class SpilledHashes:
    """Hashes of 64 bits, each as often as it is added: all are in memory as long as they are few.

    Args:
        most_in_memory: more go to a temporary file, as far as it has room.
    """

    def __init__(self, most_in_memory: int = _MOST_IN_MEMORY) -> None:
        self._most = most_in_memory
        self._blocks: list[Hashes] = []
        self._waiting = self._count = 0
        self._spilled = SpilledShares(1 << _BITS)

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
        hashes = np.sort(np.concatenate(self._blocks))
        self._spilled.add(some.tobytes() for some in _split(hashes))
        self._blocks, self._waiting = [], 0

    def partitions(self) -> Iterator[Hashes]:
        """All hashes in ascending order, ``[N]`` for each value of their first bits."""
        waiting = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._blocks]))
        for spilled, some in zip(self._spilled, _split(waiting), strict=True):
            before = np.frombuffer(spilled, np.uint64)
            yield np.sort(np.concatenate([before, some])) if len(before) else some


def _split(hashes: Hashes) -> list[Hashes]:
    """Ascending hashes by their first bits."""
    bounds = np.arange(1, 1 << _BITS, dtype=np.uint64) << np.uint64(64 - _BITS)
    return np.split(hashes, np.searchsorted(hashes, bounds))
