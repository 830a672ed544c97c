"""Results come in the order of the things, whatever the threads' timing."""

from __future__ import annotations

import threading

import pytest

from actors.prefetch.in_order import in_order


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_later_things_wait_for_those_before_them(threads: int) -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0 and threads > 1:
            assert later.wait(10)
        later.set()
        return number * number

    assert list(in_order(work, range(40), threads)) == [number * number for number in range(40)]


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_fault_in_order_is_told(threads: int) -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 3:
            later.set()
            raise ValueError("the later one")
        if number == 2:
            assert threads == 1 or later.wait(10)
            raise ValueError("the first one")
        return number

    found = in_order(work, range(9), threads)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="the first one"):
        next(found)


def test_no_more_is_begun_than_may_wait() -> None:
    begun: list[int] = []
    found = in_order(lambda n: begun.append(n) or n, range(100), 4, lambda _: 10, 30)
    for number in range(100):
        assert next(found) == number
        assert len(begun) <= number + 4


def test_a_thing_that_weighs_more_than_all_may_is_worked_on_alone() -> None:
    assert list(in_order(str, [1, 2, 3], 4, lambda _: 99, 5)) == ["1", "2", "3"]
