"""Captures device work as CUDA graphs and replays it without the host.

A step of the language model is thousands of small operations, and launching them one by one costs
a GPU more than running them. A graph repeats them on the same memory with the same numbers from
the host. So captured work lives in memory that stays where it is, and never synchronizes with the
device.
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
_MAX_GRAPHS = 64  # a GPU holds some MB for each

_sync_is_allowed = ContextVar("sync_is_allowed", default=True)


def may_sync(tensor: Tensor) -> bool:
    """Whether the host may read what a tensor holds: not elsewhere, nor in work to be captured."""
    return _sync_is_allowed.get() and tensor.device.type == "cpu"


@contextmanager
def without_sync() -> Iterator[None]:
    """Forbid the host to synchronize with any device inside the block: `may_sync` is false."""
    token = _sync_is_allowed.set(False)
    try:
        yield
    finally:
        _sync_is_allowed.reset(token)


class GraphCapture(Protocol):
    """Captures work, so that it can be replayed."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture work without doing it.

        Returns:
            what does the work; until it is called, all memory is as before.
        """
        ...


class CudaGraphCapture:
    """Captures the work of a CUDA device; all graphs share one pool of scratch memory.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool: Any = None  # torch gives its handle no type

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture work as a CUDA graph; see `GraphCapture`.

        Raises:
            RuntimeError: an operation of the work cannot be captured, or memory is out.
        """
        graph = torch.cuda.CUDAGraph()
        # other threads of the process may use the device meanwhile
        captured = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        with torch.cuda.device(self.device), captured:
            work()
        self._pool = graph.pool()
        replay: Callable[[], None] = graph.replay
        return replay


def graph_capture_for(device: torch.device) -> GraphCapture | None:
    """What captures graphs on a device; None where every operation is launched as it comes."""
    return CudaGraphCapture(device) if device.type == "cuda" else None


class CudaGraphs:
    """Runs work by its key: eagerly the first time, captured the second time, then replayed.

    The eager run is the warm-up: libraries choose and load what they need outside of the capture.
    Work that cannot be captured runs eagerly from then on, and a warning says so.

    Args:
        graph_capture: None runs everything eagerly.
    """

    def __init__(self, graph_capture: GraphCapture | None) -> None:
        self.graph_capture = graph_capture
        self._memory_version = 0
        self._replays: OrderedDict[Hashable, Callable[[], None] | None] = OrderedDict()

    def run(self, key: Hashable, memory_version: int, work: Callable[[], None]) -> None:
        """Run work, from its graph if there is one.

        Args:
            key: all that the work depends on, except what memory holds that stays in place.
            memory_version: a number that changes when that memory is elsewhere; graphs of another
                version are dropped.
            work: what to run.
        """
        if self.graph_capture is None:
            return work()
        if memory_version != self._memory_version:
            self._memory_version = memory_version
            self._replays.clear()
        with without_sync():
            if key not in self._replays:
                self._keep(key, None)
                return work()
            replay = self._replays[key] or self._captured(self.graph_capture, work)
            if replay is None:
                return work()
            self._keep(key, replay)
            return replay()

    def _captured(
        self, graph_capture: GraphCapture, work: Callable[[], None]
    ) -> Callable[[], None] | None:
        try:
            return graph_capture.capture(work)
        except RuntimeError:
            _LOG.warning(
                "a step could not be captured as a CUDA graph; steps run uncaptured, and slower",
                exc_info=True,
            )
            self.graph_capture = None
            self._replays.clear()
            return None

    def _keep(self, key: Hashable, replay: Callable[[], None] | None) -> None:
        self._replays[key] = replay
        self._replays.move_to_end(key)
        if len(self._replays) > _MAX_GRAPHS:
            self._replays.popitem(last=False)
