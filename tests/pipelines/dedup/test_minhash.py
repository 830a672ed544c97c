"""Candidates of MinHash: as many of the similar pairs as was promised."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.dedup.minhash import band_keys, bands_for, jaccard, ngrams


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_ngrams_are_of_frames_in_their_order(rng: np.random.Generator) -> None:
    codes = rng.integers(0, 4096, (12, 8)).astype(np.uint16)
    assert len(ngrams(codes, 1)) == 10
    other = codes.copy()
    other[:, 1:] = 0
    assert np.array_equal(ngrams(codes, 1), ngrams(other, 1))
    assert not len(np.intersect1d(ngrams(codes, 2), ngrams(other, 2)))
    assert not len(np.intersect1d(ngrams(codes, 1), ngrams(codes[::-1], 1)))
    assert len(np.intersect1d(ngrams(codes, 1), ngrams(codes[4:], 1))) == 6
    assert [len(ngrams(codes[:frames], 1)) for frames in (0, 1, 2, 3)] == [0, 1, 1, 1]


@pytest.mark.parametrize(("threshold", "recall"), [(0.8, 0.99), (0.5, 0.95), (0.9, 0.999)])
def test_the_promised_share_of_similar_pairs_agrees_in_a_band(
    rng: np.random.Generator, threshold: float, recall: float
) -> None:
    bands = bands_for(threshold, recall)
    assert bands.chance(threshold) >= recall
    assert bands.number * bands.orders <= 256
    pairs, found, size = 600, 0, 200
    common = round(2 * size * threshold / (1 + threshold))
    for _ in range(pairs):
        numbers = rng.integers(0, 2**63, 2 * size).astype(np.uint64)
        one, other = (
            np.unique(numbers[:size]),
            np.unique(numbers[size - common : 2 * size - common]),
        )
        assert abs(jaccard(one, other) - threshold) < 0.01
        keys = band_keys([one, other], bands)
        found += bool((keys[0] == keys[1]).any())
    # three standard deviations of so many pairs
    assert found / pairs >= recall - 3 * (recall * (1 - recall) / pairs) ** 0.5


def test_what_differs_is_rarely_compared(rng: np.random.Generator) -> None:
    bands = bands_for(0.8, 0.99)
    sets = [np.unique(rng.integers(0, 2**63, 100).astype(np.uint64)) for _ in range(300)]
    keys = band_keys(sets, bands)
    assert sum(len(np.unique(band)) for band in keys.T) == keys.size


def test_what_cannot_be_promised_is_refused() -> None:
    with pytest.raises(ValueError, match="raise the threshold, or ask for less"):
        bands_for(0.01, 0.99)
