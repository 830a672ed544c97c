"""Several worker processes of this machine, each with the whole model: no Ray, no object store.

Where the model is small and there is no GPU, a unit is done soonest by one process from its rows to
its part: nothing of it travels, and as many units are at work as there are processors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from actors.batch.receipt import Outcome
from actors.batch.unit import UnitSpec
from pipelines.config.job import JobConfig
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.nodes.look import free_memory
from pipelines.executor.process.process_executor import ProcessExecutor
from pipelines.executor.stage_monitor import BOARD, StageState
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation
from pipelines.planning.units.feed import UnitFeed
from uniaudio2.checkpoint.folders import model_folder

_PROCESS_BYTES = 1 << 30  # of a worker besides weights: libraries, and a unit on its way
_LOOK_S = 0.2
_COPIES = 2  # weights, and as oneDNN stores them


def worker_count(job: JobConfig) -> int:
    """Workers that this machine has processors and memory for; one where there is a GPU, or a model
    whose size is not known here."""
    there = InlineExecutor().resources()
    if "GPU" in there or "://" in job.model:
        return 1
    files = (path for path in Path(model_folder(job.model)).rglob("*") if path.is_file())
    each = _PROCESS_BYTES + _COPIES * sum(path.stat().st_size for path in files)
    return max(1, min(int(there["CPU"]), free_memory() // each))


class _Share(Sequence[UnitSpec]):
    """What one of several takes of units, each time the next one.

    Args:
        feed: that all take from.
        finish: called when all that came of a unit was handed on.
    """

    def __init__(self, feed: UnitFeed, finish: Callable[[], None]) -> None:
        self._feed, self._finish = feed, finish

    def __len__(self) -> int:
        return len(self._feed)

    def __getitem__(self, place: int) -> UnitSpec:  # type: ignore[override] # slices are not asked for
        return self._feed[place]

    def __iter__(self) -> Iterator[UnitSpec]:
        while (unit := self._feed.take()) is not None:
            yield unit
            self._finish()


class _Finished:
    """All that came of a unit was handed on before this."""


class _Hand(ProcessExecutor):
    """One of the workers; what it is at is shown with what the others are."""

    def __init__(self, board: _Board, verbose: bool) -> None:
        super().__init__(None, verbose)
        self._board = board

    def halt(self) -> None:
        """End the process alone: the thread that waits for it finds out."""
        if self._worker is not None:
            self._worker.process.kill()

    def _show(self, states: tuple[StageState, ...]) -> None:
        self._board.show(self, states)


class _Board:
    """Adds up what the workers are at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[_Hand, tuple[StageState, ...]] = {}
        self._units = 0

    def expect(self, units: int) -> None:
        """A stream of so many units begins."""
        with self._lock:
            self._of, self._units = {}, units

    def show(self, hand: _Hand, states: tuple[StageState, ...]) -> None:
        """Take one worker's states, and show those of all."""
        with self._lock:
            self._of[hand] = states
            summed = tuple(map(self._summed, zip(*self._of.values(), strict=True)))
        BOARD.show(summed)

    def _summed(self, own: Sequence[StageState]) -> StageState:
        done, running = sum(one.rows for one in own), sum(one.running for one in own)
        waiting = max(0, self._units - done - running)
        return replace(own[0], rows=done, queue=waiting, running=running, ready=len(own))


class ProcessesExecutor(InlineExecutor):
    """Runs units in processes beside the driver, one unit at a time in each; one that a row ends
    costs that unit, whose rows are then tried alone.

    Args:
        count: of processes.
        verbose: let them print.
    """

    def __init__(self, count: int, verbose: bool = False) -> None:
        self._board = _Board()
        self._hands = [_Hand(self._board, verbose) for _ in range(max(count, 1))]

    def start(self) -> None:
        """Start the workers that do not run yet."""
        for hand in self._hands:
            hand.start()

    def allocate(self, job: JobConfig, idle: Collection[str] = ()) -> Allocation:
        """Every stage once in each process, whose threads are its share of the processors."""
        whole = super().allocate(job, idle)
        count = len(self._hands)
        pools = tuple(
            replace(pool, min_size=count, max_size=count, num_cpus=pool.num_cpus / count)
            for pool in whole.pools
        )
        return replace(whole, pools=pools)

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[None]:
        """The workers end with it."""
        del timeout_s  # the boundary of each stage has it
        try:
            yield
        finally:
            self.close()
            BOARD.expect(())

    def close(self) -> None:
        """End the workers."""
        for hand in self._hands:
            hand.close()

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        """See `Executor.stream`; a unit whose worker died is missing from what comes out."""
        del alone  # every unit is
        feed = units if isinstance(units, UnitFeed) else UnitFeed(units)
        self._board.expect(len(units))
        made: queue.SimpleQueue[Outcome | BaseException | _Finished | None] = queue.SimpleQueue()
        shared = _Share(feed, lambda: made.put(_Finished()))

        def work(hand: _Hand) -> None:
            try:
                for outcome in hand.stream(shared, stages, allocation):
                    made.put(outcome)
                made.put(None)
            except BaseException as fault:
                made.put(fault)

        hands = self._hands[: max(1, len(units))]
        threads = [threading.Thread(target=work, args=(hand,), daemon=True) for hand in hands]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                one = made.get()
                if one is None:
                    left -= 1
                elif isinstance(one, _Finished):
                    feed.looked_at()
                elif isinstance(one, BaseException):
                    raise one
                else:
                    yield one
        finally:
            feed.close()
            # a worker that has done its units is kept for the next stream, one at work is ended
            while left and any(thread.is_alive() for thread in threads):
                for hand in hands:
                    hand.halt()
                for thread in threads:
                    thread.join(_LOOK_S)
