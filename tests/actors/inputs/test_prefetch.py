"""Items made in advance come in order, faults come where they belong, and nothing runs on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from actors.inputs.prefetch import prefetched


def test_order_and_end() -> None:
    with prefetched(range(10)) as items:
        assert list(items) == list(range(10))


def test_a_fault_comes_behind_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    taken = []
    with pytest.raises(OSError, match="gone"), prefetched(broken()) as items:
        for item in items:
            taken.append(item)
    assert taken == [1]


def test_no_more_than_depth_is_made_and_none_after_the_end() -> None:
    made = []

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield len(made)

    before = threading.active_count()
    with prefetched(endless(), depth=2) as items:
        assert next(items) == 1
    assert threading.active_count() == before
    assert len(made) <= 5
