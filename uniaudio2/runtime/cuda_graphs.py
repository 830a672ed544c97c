"""Work of a device that is recorded once and repeated without the host, and what it must not do.

A frame is thousands of small operations, and handing them over one by one costs a GPU more than
running them. A recording repeats them with the same memory and the same numbers from the host.
So such work lives in memory that stays where it is, and never waits for what the device computes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)
_MOST = 64  # recordings that are kept; a GPU holds some MB for each

_waits = ContextVar("waits", default=True)


def may_wait(tensor: Tensor) -> bool:
    """Whether the host may look at what a tensor holds: not on a GPU, nor while being recorded."""
    return _waits.get() and not tensor.is_cuda


@contextmanager
def without_waiting() -> Iterator[None]:
    """Within, the host may not wait for any device."""
    token = _waits.set(False)
    try:
        yield
    finally:
        _waits.reset(token)


class Recorder(Protocol):
    """Records work."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """What does the work again; afterwards all memory is as if it had not been done yet."""
        ...


class CudaGraphs:
    """Records what a CUDA device does as graphs; all of them share scratch memory.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool: Any = None  # torch gives its handle no type

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture; see `Recorder`.

        Raises:
            RuntimeError: something in the work cannot be captured, or memory is out.
        """
        graph = torch.cuda.CUDAGraph()
        # other threads of the process may use the device meanwhile
        captured = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        with torch.cuda.device(self.device), captured:
            work()
        self._pool = graph.pool()
        replay: Callable[[], None] = graph.replay
        return replay


def recorder_for(device: torch.device) -> Recorder | None:
    """What records on a device; None where every operation is done as it comes."""
    return CudaGraphs(device) if device.type == "cuda" else None


class Recordings:
    """Does work by its key: at first as it is, the second time recorded, then repeated.

    The first time has it all set up (libraries choose and load what they need) outside of the
    recording. Work that cannot be recorded is done as it is from then on, and a warning says so.

    Args:
        recorder: None does everything as it is.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder
        self._memory = 0
        self._kept: OrderedDict[Hashable, Callable[[], None] | None] = OrderedDict()

    def run(self, key: Hashable, memory: int, work: Callable[[], None]) -> None:
        """Do work.

        Args:
            key: everything of it that is not in memory which stays where it is.
            memory: a number that changes when the memory that it works in does; what was recorded
                for other memory is dropped.
            work: what to do.
        """
        if self.recorder is None:
            return work()
        if memory != self._memory:
            self._memory = memory
            self._kept.clear()
        with without_waiting():
            if key not in self._kept:
                self._keep(key, None)
                return work()
            repeat = self._kept[key] or self._recorded(self.recorder, work)
            if repeat is None:
                return work()
            self._keep(key, repeat)
            return repeat()

    def _recorded(self, recorder: Recorder, work: Callable[[], None]) -> Callable[[], None] | None:
        try:
            return recorder.record(work)
        except RuntimeError:
            _LOG.warning(
                "work of the device could not be recorded; it goes on unrecorded, and slower",
                exc_info=True,
            )
            self.recorder = None
            self._kept.clear()
            return None

    def _keep(self, key: Hashable, repeat: Callable[[], None] | None) -> None:
        self._kept[key] = repeat
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
