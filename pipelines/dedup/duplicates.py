"""Recordings of an OUTPUT that are there twice, or nearly so, by their reasoning codes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup.minhash import Bands, Numbers, band_keys, bands_for, jaccard, ngrams

SCHEMA = pa.schema([
    ("id", pa.string()), ("duplicate_of", pa.string()), ("kind", pa.string()),
    ("similarity", pa.float64()),
])  # fmt: skip
_DIGEST = np.dtype([("first", "<u8"), ("second", "<u8")])
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Similar:
    """A row that is a duplicate.

    Attributes:
        row: its number, in the order in which rows were added.
        of: the row that stays.
        similarity: of both, 1.0 where all codes are equal.
        is_exact: they are.
    """

    row: int
    of: int
    similarity: float
    is_exact: bool


class _NumberFile:
    """Arrays of numbers in a temporary file."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - as long as what is in it
        self._starts = [0]

    def add(self, numbers: Numbers) -> None:
        """Append an array."""
        self._file.write(numbers.tobytes())
        self._starts.append(self._starts[-1] + numbers.size)

    def read(self, index: int) -> Numbers:
        """One of the arrays, flat."""
        start, stop = self._starts[index], self._starts[index + 1]
        self._file.seek(8 * start)
        return np.frombuffer(self._file.read(8 * (stop - start)), np.uint64)


class Duplicates:
    """Takes in recordings and finds duplicates among them; n-grams are on the disk meanwhile.

    Args:
        threshold: Jaccard similarity of n-grams from which two are near duplicates.
        recall: share of pairs at the threshold that are found.
        codebooks: how many of the first codebooks are compared; all are for exact ones.

    Raises:
        ValueError: the recall cannot be had at so low a threshold.
    """

    def __init__(self, threshold: float, recall: float, codebooks: int) -> None:
        self._threshold, self._codebooks = threshold, codebooks
        self.bands: Bands = bands_for(threshold, recall)
        self._names: list[pa.Array] = []
        self._digests: list[bytes] = []
        self._sets, self._keys = _NumberFile(), _NumberFile()
        self._waiting: list[Numbers] = []

    def add(self, names: Sequence[str], codes: Sequence[npt.NDArray[np.integer]]) -> None:
        """Take in recordings.

        Args:
            names: their ids.
            codes: reasoning codes of each, ``[T, 8]``, none without frames.
        """
        self._names.append(pa.array(names, pa.string()))
        for one in codes:
            data = np.ascontiguousarray(one, "<u2").tobytes()
            self._digests.append(hashlib.blake2b(data, digest_size=16).digest())
            grams = ngrams(one, self._codebooks)
            self._sets.add(grams)
            self._waiting.append(grams)
            if len(self._waiting) == _ROWS_AT_ONCE:
                self._flush()

    def _flush(self) -> None:
        """Write keys of bands, those of a band side by side."""
        for keys in band_keys(self._waiting, self.bands).T:
            self._keys.add(np.ascontiguousarray(keys))
        self._waiting = []

    def find(self) -> Iterator[Similar]:
        """Every duplicate, with the row that stays; which one does not depend on the order in which
        rows were added: of equal ones that with the least id."""
        if self._waiting:
            self._flush()
        rows = len(self._digests)
        rank = np.empty(rows, np.int64)
        rank[pc.array_sort_indices(self._ids()).to_numpy()] = np.arange(rows)
        first = self._first_of_equal(rank)
        for row in np.flatnonzero(first != np.arange(rows)).tolist():
            yield Similar(row, int(first[row]), 1.0, True)
        yield from _kept(self._pairs(rank, first), rank)

    def _ids(self) -> pa.Array:
        return pa.concat_arrays(self._names) if self._names else pa.array([], pa.string())

    def _first_of_equal(self, rank: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Of each row the one with the same codes that stays, ``[N]``."""
        digests = np.frombuffer(b"".join(self._digests), _DIGEST)
        order = np.lexsort((rank, digests["second"], digests["first"]))
        same = np.zeros(len(order), bool)
        same[1:] = digests[order[1:]] == digests[order[:-1]]
        starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        first = np.empty(len(order), np.int64)
        first[order] = order[starts]
        return first

    def _pairs(
        self, rank: npt.NDArray[np.int64], first: npt.NDArray[np.int64]
    ) -> dict[tuple[int, int], float]:
        """Similarities of rows that differ and are similar enough, the one that stays first."""
        differ = np.flatnonzero(first == np.arange(len(first)))
        blocks = -(-len(first) // _ROWS_AT_ONCE)
        compared: dict[tuple[int, int], float] = {}
        for band in range(self.bands.number):
            keys = [self._keys.read(block * self.bands.number + band) for block in range(blocks)]
            for group in _groups(np.concatenate(keys)[differ] if keys else _NONE, rank[differ]):
                self._compare(differ[group].tolist(), compared)
        return {pair: found for pair, found in compared.items() if found >= self._threshold}

    def _compare(self, group: list[int], compared: dict[tuple[int, int], float]) -> None:
        """Compare rows that agree in a band with those of them that stay."""
        staying: list[int] = []
        for row in group:
            grams, is_similar = self._sets.read(row), False
            for other in staying:
                if (other, row) not in compared:
                    compared[other, row] = jaccard(self._sets.read(other), grams)
                is_similar |= compared[other, row] >= self._threshold
            if not is_similar:
                staying.append(row)

    def table(self, found: Sequence[Similar]) -> pa.Table:
        """Duplicates with their ids, see `SCHEMA`, in the order of these."""
        ids = self._ids()
        table = pa.table(
            [
                ids.take(pa.array([one.row for one in found], pa.int64())),
                ids.take(pa.array([one.of for one in found], pa.int64())),
                pa.array(["exact" if one.is_exact else "near" for one in found], pa.string()),
                pa.array([one.similarity for one in found], pa.float64()),
            ],
            schema=SCHEMA,
        )
        return table.sort_by("id")


_NONE = np.zeros(0, np.uint64)


def _groups(keys: Numbers, rank: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Places of equal keys where there are several, each by rank."""
    order = np.lexsort((rank, keys))
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    bounds = np.concatenate([[0], ends, [len(order)]])
    for index in np.flatnonzero(np.diff(bounds) > 1).tolist():
        yield order[bounds[index] : bounds[index + 1]]


def _kept(pairs: dict[tuple[int, int], float], rank: npt.NDArray[np.int64]) -> Iterator[Similar]:
    """Decide by rank which rows stay; each other one is told with the most similar that does."""
    before: dict[int, list[tuple[float, int]]] = {}
    for (one, other), similarity in pairs.items():
        before.setdefault(other, []).append((similarity, one))
    gone: set[int] = set()
    for row in sorted(before, key=lambda one: int(rank[one])):
        found = [(-similarity, int(rank[one]), one) for similarity, one in before[row]]
        staying = min((entry for entry in found if entry[2] not in gone), default=None)
        if staying is not None:
            gone.add(row)
            yield Similar(row, staying[2], -staying[0], False)
