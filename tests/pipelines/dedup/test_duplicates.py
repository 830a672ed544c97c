"""Duplicates among recordings whose damage is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.dedup import duplicates as module
from pipelines.dedup.duplicates import Duplicates

Codes = npt.NDArray[np.uint16]


@pytest.fixture
def recording() -> Callable[..., Codes]:
    """Makes another recording with every call."""
    rng = np.random.default_rng(11)

    def made(frames: int = 60) -> Codes:
        return rng.integers(0, 4096, (frames, 8)).astype(np.uint16)

    return made


def damaged(codes: Codes, frames: int) -> Codes:
    """Another code of the first codebook in some frames, at one end."""
    other = codes.copy()
    other[:frames, 0] ^= 1
    return other


def found(rows: dict[str, Codes], threshold: float = 0.8) -> dict[str, tuple[str, str, float]]:
    finder = Duplicates(threshold, 0.999, codebooks=1)
    finder.add(list(rows), list(rows.values()))
    table = finder.table(list(finder.find()))
    return {row["id"]: (row["duplicate_of"], row["kind"], row["similarity"])
            for row in table.to_pylist()}  # fmt: skip


def test_equal_and_similar_recordings_are_told_with_the_one_that_stays(
    recording: Callable[..., Codes],
) -> None:
    one, two = recording(), recording()
    quiet = one.copy()
    quiet[:, 7] += 1  # another code of a codebook that is not compared
    rows = {"b": one, "a": one, "c": damaged(one, 2), "d": two, "e": quiet, "f": recording(),
            "g": damaged(two, 30)}  # fmt: skip
    told = found(rows)
    assert told["b"] == ("a", "exact", 1.0)
    assert told["e"] == ("a", "near", 1.0)
    assert told["c"] == ("a", "near", pytest.approx(56 / 60))
    assert set(told) == {"b", "c", "e"}


def test_neither_order_nor_the_size_of_blocks_changes_what_is_found(
    recording: Callable[..., Codes], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, Codes] = {}
    for number in range(40):
        base = recording()
        rows[f"{number:02d}"] = base
        for copy in range(number % 4):
            rows[f"{number:02d}-{copy}"] = damaged(base, copy)
    told = found(rows)
    assert len(told) == len(rows) - 40
    assert all(name.startswith(of) for name, (of, _, _) in told.items())
    shuffled = list(rows.items())
    random.Random(3).shuffle(shuffled)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    assert found(dict(shuffled)) == told


def test_a_chain_of_small_steps_is_no_heap(recording: Callable[..., Codes]) -> None:
    """Each is like the one before it, the last is like none of the first."""
    base = recording(100)
    rows = {f"{step:02d}": damaged(base, 6 * step) for step in range(8)}
    told = found(rows)
    for name, (of, _, similarity) in told.items():
        assert similarity >= 0.8
        assert of not in told, f"{name} stays for {of}, which goes itself"


def test_nothing_is_no_duplicate(recording: Callable[..., Codes]) -> None:
    assert found({}) == {}
    assert found({"a": recording(1), "b": recording(2)}) == {}
