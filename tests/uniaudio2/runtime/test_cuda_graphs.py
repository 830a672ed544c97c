from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from tests.uniaudio2.lm.tape_capture import TapeCapture
from uniaudio2.runtime import cuda_graphs
from uniaudio2.runtime.cuda_graphs import (
    CudaGraphCapture,
    CudaGraphs,
    graph_capture_for,
    may_sync,
    without_sync,
)

CPU = torch.device("cpu")


class Counter:
    """Adds to memory that stays where it is."""

    def __init__(self) -> None:
        self.memory = torch.zeros(3)
        self.calls = 0

    def work(self) -> None:
        self.calls += 1
        doubled = torch.ones(3) * 2
        self.memory += doubled * (self.memory + 1)


def test_work_runs_eagerly_then_is_captured_then_replayed() -> None:
    tapes, counter = TapeCapture(), Counter()
    graphs = CudaGraphs(tapes)
    expected, value = [], 0.0
    for _ in range(5):
        graphs.run("key", 0, counter.work)
        value += 2 * (value + 1)
        expected.append(value)
        assert counter.memory.tolist() == [value] * 3
    assert (counter.calls, len(tapes.tapes), tapes.replays) == (2, 1, 4)


def test_every_key_has_a_graph_of_its_own_until_memory_moves() -> None:
    tapes, counter = TapeCapture(), Counter()
    graphs = CudaGraphs(tapes)
    for key in "ab" * 3:
        graphs.run(key, 0, counter.work)
    assert (len(tapes.tapes), tapes.replays) == (2, 4)
    counter.memory = torch.zeros(3)
    for key in "ab":
        graphs.run(key, 1, counter.work)
    assert counter.memory.tolist() == [8.0] * 3, "the old graphs work elsewhere"


def test_without_a_capture_all_runs_eagerly() -> None:
    counter = Counter()
    graphs = CudaGraphs(None)
    for _ in range(3):
        graphs.run("key", 0, counter.work)
    assert counter.calls == 3


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_MAX_GRAPHS", 2)
    tapes, counter = TapeCapture(), Counter()
    graphs = CudaGraphs(tapes)
    for key in "aabbacca":  # b has waited longest when c comes
        graphs.run(key, 0, counter.work)
    assert len(tapes.tapes) == 3
    graphs.run("b", 0, counter.work)
    assert len(tapes.tapes) == 3, "b runs eagerly, as for the first time"


def test_what_cannot_be_captured_runs_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Waits(Counter):
        def work(self) -> None:
            super().work()
            if float(self.memory[0]) > 1e9:
                raise OverflowError

    counter, tapes = Waits(), TapeCapture()
    graphs = CudaGraphs(tapes)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            graphs.run("key", 0, counter.work)
    assert graphs.graph_capture is None and tapes.replays == 0
    assert counter.memory.tolist() == [80.0] * 3
    assert caplog.text.count("could not be captured") == 1


def test_other_faults_are_told() -> None:
    class Wrong:
        def capture(self, work: Callable[[], None]) -> Callable[[], None]:
            raise ZeroDivisionError

    graphs = CudaGraphs(Wrong())
    graphs.run("key", 0, Counter().work)
    with pytest.raises(ZeroDivisionError):
        graphs.run("key", 0, Counter().work)
    assert may_sync(torch.zeros(1)), "the fault left nothing behind"


def test_the_host_may_read_its_own_memory_but_not_in_a_capture() -> None:
    tensor = torch.zeros(1)
    assert may_sync(tensor)
    with without_sync():
        assert not may_sync(tensor)
    assert may_sync(tensor)


def test_only_cuda_devices_are_captured() -> None:
    assert graph_capture_for(CPU) is None
    assert isinstance(graph_capture_for(torch.device("cuda", 0)), CudaGraphCapture)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_replays_work() -> None:
    device = torch.device("cuda", 0)
    counter = Counter()
    counter.memory = counter.memory.to(device)

    def work() -> None:
        counter.calls += 1
        counter.memory.add_((counter.memory + 1) * 2)

    graphs = CudaGraphs(graph_capture_for(device))
    for _ in range(4):
        graphs.run("key", 0, work)
    assert counter.memory.tolist() == [80.0] * 3 and counter.calls == 2
