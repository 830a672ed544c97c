"""Reading what a device computed without waiting for what it was told since."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

_T = TypeVar("_T")


def lag_on(device: torch.device) -> int:
    """The least lag with which a device never waits for the host."""
    return 1 if device.type == "cuda" else 0


@dataclass(frozen=True)
class _Noted(Generic[_T]):
    owner: _T
    copies: list[Tensor]
    is_there: torch.cuda.Event | None


class LateReads(Generic[_T]):
    """Copies on their way to the host, each with what they belong to.

    Args:
        lag: how many later notes a copy waits for before it is read. With 0 the host waits for
            the device; with 1 the device has its next work by then.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self._noted: deque[_Noted[_T]] = deque()

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, owner: _T, *tensors: Tensor) -> None:
        """Send tensors as they are now on their way."""
        copies, is_there = [], None
        for tensor in tensors:
            if tensor.is_cuda:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copies.append(copy.copy_(tensor, non_blocking=True))
                is_there = torch.cuda.current_stream(tensor.device).record_event()
            else:
                copies.append(tensor.clone())
        self._noted.append(_Noted(owner, copies, is_there))

    def due(self, everything: bool = False) -> Iterator[tuple[_T, list[Tensor]]]:
        """Copies that have waited long enough, in their order; or all of them."""
        while len(self._noted) > (0 if everything else self.lag):
            noted = self._noted.popleft()
            if noted.is_there:
                noted.is_there.synchronize()
            yield noted.owner, noted.copies
