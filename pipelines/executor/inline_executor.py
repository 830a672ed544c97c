"""The stages of a job one after the other in this process: no Ray, no other process, no threads
but those of the stages. For debugging (a breakpoint in a stage works) and for tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Generic, TypeVar

import pyarrow as pa

from actors.batch.receipt import Outcome, outcomes
from actors.batch.table import Stage
from actors.batch.unit import UnitSpec
from actors.stages.fault_boundary import WATCHDOG, FaultBoundary
from pipelines.causes import of_stage
from pipelines.config.job import JobConfig
from pipelines.executor.executor import Underway
from pipelines.executor.nodes.compare import Needs, Probed
from pipelines.executor.pools.build import StageNotBuilt, build_stage
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import POOLS, Allocation, Pool
from uniaudio2.lazily import torch

T = TypeVar("T")
_DEVICE_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA's, AMD's and WSL's drivers


class InlineExecutor:
    """Runs units in their order. A stage that ends its process ends the run with it."""

    is_here = True

    def start(self) -> None:
        """Nothing has to be started."""

    def resources(self) -> Mapping[str, float]:
        """The CPUs that this process may use, and the GPUs that it sees."""
        resources = {"CPU": float(len(os.sched_getaffinity(0)))}
        if gpus := _gpus():
            resources["GPU"] = float(gpus)
        return resources

    def allocate(self, job: JobConfig, idle: Collection[str] = ()) -> Allocation:
        """Every stage once, with all there is: no two of them work at the same time, so sizes that
        a job was given for a cluster do not matter here."""
        there = self.resources()
        pools = tuple(
            Pool(name, 1, 1, there["CPU"], min(there.get("GPU", 0.0), 1.0), {})
            for name in POOLS
            if name in job.spec.stages and name not in idle
        )
        return Allocation(pools, 1.0, ())

    def probe(self, needs: Needs) -> Probed:
        """All work is done where the driver is."""
        del needs
        return Probed()

    def joined(self) -> Probed:
        """Nothing joins."""
        return Probed()

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[None]:
        """Ctrl-Z stops the clocks of the stages, too, until the process goes on."""
        del timeout_s  # the boundary of each stage has it

        def stop(_number: int, _frame: FrameType | None) -> None:
            with WATCHDOG.held():
                os.kill(os.getpid(), signal.SIGSTOP)

        try:
            old = signal.signal(signal.SIGTSTP, stop)
        except ValueError:  # not the main thread: the caller handles signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, old)

    def submit(self, call: Callable[..., T], *arguments: Any) -> Underway[T]:
        """The call is made at once."""
        made: Future[T] = Future()
        try:
            made.set_result(call(*arguments))
        except Exception as fault:
            made.set_exception(fault)
        return Made(made)

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        """See `Executor.stream`; outcomes come in the order of the units."""
        del alone  # every unit is
        kinds = {pool.name: stages.pools[pool.name] for pool in allocation.pools}
        try:
            pools: dict[str, Stage] = {name: build_stage(name, *kinds[name]) for name in kinds}
        except StageNotBuilt as fault:
            raise of_stage(str(fault)) from fault
        calls = {"load": stages.load, **pools, "write": stages.write}
        boundaries = {name: stages.boundary(name) for name in calls}
        for unit in units:
            yield from outcomes(_through(unit, calls, boundaries))


def _gpus() -> int:
    """GPUs that this process sees; torch, which knows, is only asked where there may be some."""
    if sys.platform == "linux" and not any(map(os.path.exists, _DEVICE_FILES)):
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@dataclass(frozen=True)
class Made(Generic[T]):
    """A call that was made already."""

    future: Future[T]

    def is_done(self) -> bool:
        """It is."""
        return True

    def result(self) -> T:
        """What it returned, or raises what it raised."""
        return self.future.result()


def _through(
    unit: UnitSpec, calls: Mapping[str, Stage], boundaries: Mapping[str, FaultBoundary]
) -> pa.Table:
    table = unit.to_table()
    for name, stage in calls.items():
        table = boundaries[name].call(table, stage)
    return table
