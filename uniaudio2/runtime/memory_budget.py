"""Batch sizes of a component of the model; they shrink when memory runs out."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from uniaudio2.lazily import torch

_T = TypeVar("_T")
_R = TypeVar("_R")
_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"
_WORTH_DOUBLING = 1.1  # a batch of twice the size must be at least so much faster an item
_TRIAL_S = 2.0


def is_out_of_memory(fault: BaseException) -> bool:
    """Tell whether a fault says that a device or the host has no memory left."""
    if isinstance(fault, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(fault, RuntimeError) and _CPU_ALLOCATOR in str(fault)


def release_traceback(fault: BaseException | None) -> None:
    """Free what a fault's traceback still holds of the work that it ended, on the device too.

    Whoever measures free memory next finds it free. The traceback itself stays, to be read.
    """
    while fault is not None:
        traceback.clear_frames(fault.__traceback__)
        fault = fault.__cause__ or fault.__context__
    gc.collect()
    _empty_cache()


def _empty_cache() -> None:
    """Free what torch keeps of a device's memory for itself, which counts as used."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Budget:
    """Bounds a batch, counted in items of full size: a 30 s segment or a 20 s window is one.

    Args:
        items: what a batch may hold, at least 1.

    Raises:
        ValueError: it is below 1.
    """

    def __init__(self, items: float) -> None:
        if items < 1:
            raise ValueError(f"a batch of {items:g} items must have at least 1; raise it")
        self.items = float(items)

    @staticmethod
    def of(batch: int | Budget) -> Budget:
        """A number of items as a budget; a budget is handed back, so that its owner sees it
        shrink."""
        return batch if isinstance(batch, Budget) else Budget(batch)

    def fits(self, size: float) -> int:
        """How many items of some size, at most 1, fit into a batch: at least one does."""
        return max(int(self.items / size + 1e-6), 1)

    def run(self, call: Callable[[Sequence[_T]], Sequence[_R]], batch: Sequence[_T]) -> list[_R]:
        """Call with a whole batch; where memory runs out, with halves of it from then on.

        Args:
            call: one result for every item; without memory of its own between two calls.
            batch: items of one size.

        Raises:
            Exception: whatever `call` raises, out of memory too if a single item is too much.
        """
        try:
            return list(call(batch))
        except (MemoryError, RuntimeError) as fault:
            if len(batch) == 1 or not is_out_of_memory(fault):
                raise
        # outside of the handler: the traceback holds what the call had allocated
        self.items = max(self.items / 2, 1.0)
        _empty_cache()
        middle = len(batch) // 2
        return self.run(call, batch[:middle]) + self.run(call, batch[middle:])


def calibrate(
    run: Callable[[int], object], most: int, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Find the batch beyond which a doubling gains less than a tenth, or memory ends.

    Args:
        run: does a batch of some size once.
        most: largest size that is tried.
        clock: gives seconds.

    Returns:
        the size; half of what still fits where memory, not speed, was the limit.
    """
    best, best_rate, size = 1, 0.0, 1
    while size <= most:
        try:
            run(size)  # the first run of a shape pays for set-up
            begun = clock()
            run(size)
            spent_s = max(clock() - begun, 1e-9)
        except (MemoryError, RuntimeError) as fault:
            if not is_out_of_memory(fault):
                raise
            return max(best // 2, 1)
        if size / spent_s < _WORTH_DOUBLING * best_rate:
            break
        best, best_rate = size, size / spent_s
        if spent_s > _TRIAL_S:
            break
        size *= 2
    return best
