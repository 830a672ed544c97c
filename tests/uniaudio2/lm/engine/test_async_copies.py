from __future__ import annotations

import pytest
import torch

from uniaudio2.lm.engine.async_copies import AsyncCopies, copy_lag_for


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_copies_come_in_order_as_they_were_when_begun(lag: int) -> None:
    copies: AsyncCopies[int] = AsyncCopies(lag)
    state, come = torch.zeros(2), []
    for number in range(6):
        state += 1
        copies.begin(number, state, state * 10)
        for owner, (one, ten) in copies.completed():
            come.append(owner)
            assert one.tolist() == [owner + 1] * 2 and ten.tolist() == [10 * owner + 10] * 2
        assert come == list(range(number + 1 - lag))
        assert len(copies) == min(lag, number + 1)
    rest = [owner for owner, _ in copies.completed(flush=True)]
    assert come + rest == list(range(6)) and len(copies) == 0


def test_lag() -> None:
    assert copy_lag_for(torch.device("cpu")) == 0
    assert copy_lag_for(torch.device("cuda")) == 1
