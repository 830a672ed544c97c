"""Hashes beyond what memory holds come back in order, as often as they were added."""

from __future__ import annotations

import numpy as np
import pytest

from actors.prefetch import spilled_shares
from actors.prefetch.spilled_hashes import SpilledHashes


@pytest.mark.parametrize("most_in_memory", [0, 100, 1 << 20])
@pytest.mark.parametrize("room", [0, 2000, 1 << 40])
def test_all_of_them_are_there(
    most_in_memory: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilled_shares, "_MOST_BYTES", room)
    draws = np.random.default_rng(0)
    added = [draws.integers(0, 2**64, size, np.uint64) for size in (0, 1, 70, 500, 90, 3)]
    added += [added[2], np.array([0, 2**64 - 1, 0], np.uint64)]
    hashes = SpilledHashes(most_in_memory)
    for some in added:
        hashes.add(some)
    assert len(hashes) == sum(map(len, added))
    for _ in range(2):
        parts = list(hashes.partitions())
        assert np.array_equal(np.concatenate(parts), np.sort(np.concatenate(added)))
        assert [len({int(one) >> 58 for one in part}) <= 1 for part in parts] == [True] * 64


def test_no_more_than_it_may_waits_in_memory() -> None:
    hashes = SpilledHashes(1000)
    for start in range(0, 100_000, 1000):
        hashes.add(np.arange(start, start + 1000, dtype=np.uint64) << np.uint64(47))
        assert sum(map(len, hashes._blocks)) <= 2000
    assert sum(len(part) for part in hashes.partitions()) == 100_000
