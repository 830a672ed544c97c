"""What planning keeps of rows, and the ids that it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.batch.row_hashes import DIGEST_BYTES
from actors.prefetch.spilled_hashes import SpilledHashes
from pipelines.planning.keys.row_keys import KeyArray

_NONE = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class IndexedRows:
    """What planning keeps of rows that lie one behind the other.

    Attributes:
        keys: of the rows, ``[N]``, see `row_keys`.
        former: hashes of all their columns, `DIGEST_BYTES` a row, by which records of format 1
            know them.
        seconds: of audio where a column tells, else 0, ``[N]``, float64.
        wholes: digests of the ids of which ids are channels, ``[M]``, see `whole_id`.
        sizes: bytes of sound that rows hold, and of the files that they name where no column tells
            how long they are, ``[N]``, int64; 0 where nothing tells.
    """

    keys: KeyArray
    former: bytes
    seconds: npt.NDArray[np.float64]
    wholes: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def slice(self, start: int, stop: int) -> IndexedRows:
        """Some of the rows, without their `wholes`."""
        former = self.former[DIGEST_BYTES * start : DIGEST_BYTES * stop]
        seconds, sizes = self.seconds[start:stop], self.sizes[start:stop]
        return IndexedRows(self.keys[start:stop], former, seconds, _NONE, sizes)

    def before(self, rows: IndexedRows) -> IndexedRows:
        """These rows and others behind them."""
        return IndexedRows(
            # their bytes are the keys, and NumPy would turn them about
            np.concatenate([self.keys, rows.keys], dtype=self.keys.dtype),
            self.former + rows.former,
            np.concatenate([self.seconds, rows.seconds]),
            _NONE,
            np.concatenate([self.sizes, rows.sizes]),
        )


class SeenIds:
    """Ids seen so far as 64-bit hashes, in memory that does not grow with them."""

    def __init__(self) -> None:
        self._ids, self._wholes = SpilledHashes(), SpilledHashes()

    def noted(self, rows: IndexedRows) -> IndexedRows:
        """The rows themselves, whose ids are remembered."""
        self._ids.add(rows.keys["id"].astype(np.uint64))
        if len(rows.wholes):
            self._wholes.add(rows.wholes)
        return rows

    def have_channels(self) -> bool:
        """Whether any id is that of another one's channel, as rows of channels are named."""
        if not len(self._wholes):
            return False
        both = zip(self._wholes.partitions(), self._ids.partitions(), strict=True)
        return any(np.isin(wholes, ids).any() for wholes, ids in both)

    def different(self) -> int:
        """How many different ids there are."""
        return sum(len(np.unique(ids)) for ids in self._ids.partitions())

    def repeated(self) -> set[int]:
        """Hashes that occur more than once."""
        found: set[int] = set()
        for ids in self._ids.partitions():
            found.update(ids[1:][ids[1:] == ids[:-1]].tolist())
        return found
