"""MinHash over n-grams of codes: which of many recordings are worth comparing.

The n-grams of a recording are a set of numbers; the least of them under a random order is equal for
two sets with the probability of their Jaccard similarity (Broder 1997). Least numbers under many
orders make bands, and sets that agree in all of a band are candidates: of R orders a band and B
bands, two sets of similarity s become candidates with the probability 1 - (1 - s^R)^B.
"""

from __future__ import annotations

from math import ceil, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

NGRAM_FRAMES = 3
MOST_ORDERS = 256
_MOST_ROWS = 8  # orders of a band
_BLOCK = 1 << 14  # n-grams whose numbers are made at once
_SEED = 0x756E69617564696F
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Bands(NamedTuple):
    """How orders are put together.

    Attributes:
        number: of bands.
        orders: of each.
    """

    number: int
    orders: int

    def chance(self, similarity: float) -> float:
        """The probability that two sets of a similarity become candidates."""
        return float(1.0 - (1.0 - similarity**self.orders) ** self.number)


def bands_for(threshold: float, recall: float) -> Bands:
    """The most selective bands that find pairs of a similarity with a probability.

    Args:
        threshold: Jaccard similarity, above 0, at most 1.
        recall: at least this share of pairs at the threshold becomes candidates, below 1.

    Raises:
        ValueError: `MOST_ORDERS` are too few for that.
    """
    for orders in range(_MOST_ROWS, 0, -1):
        missed = 1.0 - threshold**orders
        count = 1 if missed <= 0.0 else ceil(log(1.0 - recall) / log(missed))
        if count * orders <= MOST_ORDERS:
            return Bands(count, orders)
    raise ValueError(
        f"a similarity of {threshold:g} is too low to be found with recall {recall:g}; raise "
        "the threshold, or ask for less"
    )


def _mixed(numbers: Numbers) -> Numbers:
    """Numbers as a hash of each (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[0]
        numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[1]
    return numbers ^ (numbers >> np.uint64(31))


def ngrams(codes: npt.NDArray[np.integer], codebooks: int) -> Numbers:
    """The different n-grams of a recording, ascending, ``[M]``; fewer frames are one n-gram.

    Args:
        codes: ``[T, K]``, each below 2^16.
        codebooks: how many of the first codebooks tell frames apart.
    """
    frames = np.zeros(len(codes), np.uint64)
    for column in range(min(codebooks, codes.shape[1])):
        frames = _mixed(frames + codes[:, column].astype(np.uint64) + _GOLDEN)
    size = min(NGRAM_FRAMES, len(frames))
    found = np.zeros(len(frames) - size + 1 if size else 0, np.uint64)
    for place in range(size):
        found = _mixed(found + frames[place : place + len(found)] + _GOLDEN)
    return np.unique(found)


def band_keys(sets: list[Numbers], bands: Bands) -> Numbers:
    """What agrees for candidates, ``[N, B]``.

    Args:
        sets: n-grams of each recording, none of them empty.
        bands: see `bands_for`.
    """
    orders = bands.number * bands.orders
    seeds = _mixed(np.arange(1, orders + 1, dtype=np.uint64) * _GOLDEN ^ np.uint64(_SEED))
    least = np.empty((len(sets), orders), np.uint64)
    for row, numbers in enumerate(sets):
        best = np.full(orders, np.iinfo(np.uint64).max, np.uint64)
        step = max(1, _BLOCK // orders)
        for start in range(0, len(numbers), step):
            some = _mixed(numbers[start : start + step, None] ^ seeds)  # [n, orders]
            np.minimum(best, some.min(axis=0), out=best)
        least[row] = best
    keys = np.zeros((len(sets), bands.number), np.uint64)
    for place in range(bands.orders):
        keys = _mixed(keys + least[:, place :: bands.orders][:, : bands.number] + _GOLDEN)
    return keys


def jaccard(one: Numbers, other: Numbers) -> float:
    """How similar two sets of numbers are: 1 for equal ones, 0 for those without a common one."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(len(one) + len(other) - common, 1)
