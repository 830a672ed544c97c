"""Copies results from a device to the host without making either wait for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

_T = TypeVar("_T")


def copy_lag_for(device: torch.device) -> int:
    """The least lag of `AsyncCopies` with which a device never waits for the host."""
    return 1 if device.type == "cuda" else 0


@dataclass(frozen=True)
class _Copy(Generic[_T]):
    owner: _T
    tensors: list[Tensor]
    is_complete: torch.cuda.Event | None


class AsyncCopies(Generic[_T]):
    """A queue of copies on their way to the host, each with what it belongs to.

    Args:
        lag: how many later copies are begun before one is read. With 0 the host waits for the
            device; with 1 the device has its next work by then.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self._copies: deque[_Copy[_T]] = deque()

    def __len__(self) -> int:
        return len(self._copies)

    def begin(self, owner: _T, *tensors: Tensor) -> None:
        """Begin to copy tensors as they are now."""
        on_host, is_complete = [], None
        for tensor in tensors:
            if tensor.is_cuda:
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                on_host.append(copy.copy_(tensor, non_blocking=True))
                is_complete = torch.cuda.current_stream(tensor.device).record_event()
            else:
                on_host.append(tensor.clone())
        self._copies.append(_Copy(owner, on_host, is_complete))

    def completed(self, flush: bool = False) -> Iterator[tuple[_T, list[Tensor]]]:
        """Take copies that have `lag` others behind them, in their order.

        Args:
            flush: take all of them, whatever is behind them.

        Yields:
            the owner and its tensors on the host.
        """
        while len(self._copies) > (0 if flush else self.lag):
            copy = self._copies.popleft()
            if copy.is_complete:
                copy.is_complete.synchronize()
            yield copy.owner, copy.tensors
