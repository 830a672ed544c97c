from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.runtime.memory_budget import Budget, calibrate, is_out_of_memory


class Device:
    """Doubles numbers, as long as no more come at once than it has memory for."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.calls: list[int] = []

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.calls.append(len(batch))
        if len(batch) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [2 * number for number in batch]


@given(st.integers(1, 64), st.integers(1, 64))
def test_out_of_memory_halves_until_it_fits(memory: int, count: int) -> None:
    device, budget = Device(memory), Budget(64)
    assert budget.run(device, range(count)) == [2 * number for number in range(count)]
    fitting = [calls for calls in device.calls if calls <= memory]
    assert sum(fitting) == count  # nothing was done twice


def test_what_was_learnt_stays() -> None:
    device, budget = Device(3), Budget(8)
    budget.run(device, range(8))
    assert device.calls == [8, 4, 2, 2, 4, 2, 2]
    assert budget.items < 4
    assert budget.fits(1.0) <= device.memory


def test_a_single_item_that_is_too_much_is_told() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Budget(4).run(Device(0), range(4))


def test_other_faults_are_not_repeated() -> None:
    calls = []

    def broken(batch: Sequence[int]) -> list[int]:
        calls.append(len(batch))
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="shape"):
        Budget(4).run(broken, range(4))
    assert calls == [4]


def test_real_memory_that_cannot_be_had_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(("size", "count"), [(1.0, 6), (0.5, 12), (0.1, 60), (1.0 / 3, 18)])
def test_small_items_share_a_batch(size: float, count: int) -> None:
    assert Budget(6).fits(size) == count


def test_one_piece_always_fits() -> None:
    assert Budget(1).fits(1.0) == 1
    with pytest.raises(ValueError, match=r"0.5 items must have at least 1"):
        Budget(0.5)


def test_a_budget_is_handed_on_as_it_is() -> None:
    budget = Budget(3)
    assert Budget.of(budget) is budget
    assert Budget.of(3).items == 3


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def spend(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_batch_grows_while_that_pays() -> None:
    sizes, clock = [], Clock()

    def run(size: int) -> None:
        sizes.append(size)
        clock.spend(0.02 * max(size, 8))  # as quick for 8 as for 1, then in proportion

    assert calibrate(run, 64, clock) == 8
    assert sizes == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16]


def test_a_batch_keeps_away_from_the_end_of_memory() -> None:
    device, clock = Device(20), Clock()

    def run(size: int) -> None:
        device(range(size))
        clock.spend(0.01)

    assert calibrate(run, 256, clock) == 8  # 16 fits, 32 does not


def test_no_more_than_allowed_is_tried() -> None:
    clock = Clock()
    assert calibrate(lambda size: clock.spend(0.005), 4, clock) == 4
