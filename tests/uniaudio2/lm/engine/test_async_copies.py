from __future__ import annotations

import pytest
import torch

from uniaudio2.lm.engine.async_copies import LateReads, lag_on


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_copies_come_in_order_as_they_were_when_noted(lag: int) -> None:
    reads: LateReads[int] = LateReads(lag)
    state, come = torch.zeros(2), []
    for number in range(6):
        state += 1
        reads.note(number, state, state * 10)
        for owner, (one, ten) in reads.due():
            come.append(owner)
            assert one.tolist() == [owner + 1] * 2 and ten.tolist() == [10 * owner + 10] * 2
        assert come == list(range(number + 1 - lag))
        assert len(reads) == min(lag, number + 1)
    rest = [owner for owner, _ in reads.due(everything=True)]
    assert come + rest == list(range(6)) and len(reads) == 0


def test_lag() -> None:
    assert lag_on(torch.device("cpu")) == 0
    assert lag_on(torch.device("cuda")) == 1
