from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from tests.uniaudio2.lm.tape import Tapes
from uniaudio2.runtime import cuda_graphs
from uniaudio2.runtime.cuda_graphs import (
    CudaGraphs,
    Recordings,
    may_wait,
    recorder_for,
    without_waiting,
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


def test_work_is_done_as_it_is_then_recorded_then_repeated() -> None:
    tapes, counter = Tapes(), Counter()
    recordings = Recordings(tapes)
    expected, value = [], 0.0
    for _ in range(5):
        recordings.run("key", 0, counter.work)
        value += 2 * (value + 1)
        expected.append(value)
        assert counter.memory.tolist() == [value] * 3
    assert (counter.calls, len(tapes.tapes), tapes.plays) == (2, 1, 4)


def test_every_key_has_a_recording_of_its_own_until_memory_moves() -> None:
    tapes, counter = Tapes(), Counter()
    recordings = Recordings(tapes)
    for key in "ab" * 3:
        recordings.run(key, 0, counter.work)
    assert (len(tapes.tapes), tapes.plays) == (2, 4)
    counter.memory = torch.zeros(3)
    for key in "ab":
        recordings.run(key, 1, counter.work)
    assert counter.memory.tolist() == [8.0] * 3, "the old recordings work elsewhere"


def test_without_a_recorder_all_is_done_as_it_is() -> None:
    counter = Counter()
    recordings = Recordings(None)
    for _ in range(3):
        recordings.run("key", 0, counter.work)
    assert counter.calls == 3


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_MOST", 2)
    tapes, counter = Tapes(), Counter()
    recordings = Recordings(tapes)
    for key in "aabbacca":  # b has waited longest when c comes
        recordings.run(key, 0, counter.work)
    assert len(tapes.tapes) == 3
    recordings.run("b", 0, counter.work)
    assert len(tapes.tapes) == 3, "b is done as it is, as for the first time"


def test_what_cannot_be_recorded_is_done_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Waits(Counter):
        def work(self) -> None:
            super().work()
            if float(self.memory[0]) > 1e9:
                raise OverflowError

    counter, tapes = Waits(), Tapes()
    recordings = Recordings(tapes)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            recordings.run("key", 0, counter.work)
    assert recordings.recorder is None and tapes.plays == 0
    assert counter.memory.tolist() == [80.0] * 3
    assert caplog.text.count("could not be recorded") == 1


def test_other_faults_are_told() -> None:
    class Wrong:
        def record(self, work: Callable[[], None]) -> Callable[[], None]:
            raise ZeroDivisionError

    recordings = Recordings(Wrong())
    recordings.run("key", 0, Counter().work)
    with pytest.raises(ZeroDivisionError):
        recordings.run("key", 0, Counter().work)
    assert may_wait(torch.zeros(1)), "the fault left nothing behind"


def test_the_host_may_wait_for_itself_but_not_while_recording() -> None:
    tensor = torch.zeros(1)
    assert may_wait(tensor)
    with without_waiting():
        assert not may_wait(tensor)
    assert may_wait(tensor)


def test_only_cuda_devices_are_recorded() -> None:
    assert recorder_for(CPU) is None
    assert isinstance(recorder_for(torch.device("cuda", 0)), CudaGraphs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_repeats_work() -> None:
    device = torch.device("cuda", 0)
    counter = Counter()
    counter.memory = counter.memory.to(device)

    def work() -> None:
        counter.calls += 1
        counter.memory.add_((counter.memory + 1) * 2)

    recordings = Recordings(recorder_for(device))
    for _ in range(4):
        recordings.run("key", 0, work)
    assert counter.memory.tolist() == [80.0] * 3 and counter.calls == 2
