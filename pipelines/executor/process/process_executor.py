"""One worker process for a run of a few rows: Ray's start alone takes longer than they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from actors.batch.receipt import Outcome
from actors.batch.unit import UnitSpec
from pipelines.causes import of_stage
from pipelines.executor.executor import Underway
from pipelines.executor.inline_executor import InlineExecutor, Made
from pipelines.executor.process.beginning import Beginning
from pipelines.executor.stage_monitor import BOARD, StageState
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation

T = TypeVar("T")


class ProcessExecutor(InlineExecutor):
    """Runs units in their order in a process beside the driver: one that a row ends costs that row,
    as with Ray.

    Args:
        begun: a worker that was started before; None starts one when it is needed.
        verbose: let the worker print.
    """

    def __init__(self, begun: Beginning | None = None, verbose: bool = False) -> None:
        self.verbose = verbose
        self._worker = begun
        self._has: Stages | None = None

    def start(self) -> None:
        """Start the worker, where it does not run yet."""
        if self._worker is None:
            self._worker = Beginning(self.verbose)

    @contextmanager
    def session(self, timeout_s: float) -> Iterator[None]:
        """The worker ends with it, unless the run ends well: the next one may need it again."""
        del timeout_s  # the boundary of each stage has it
        try:
            yield
        except BaseException:
            self.close()
            raise
        finally:  # behind the last commits, which tell what the stages came to
            BOARD.expect(())

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.end()
        self._worker = self._has = None

    def submit(self, call: Callable[..., T], *arguments: Any) -> Underway[T]:
        """The worker makes the call at once, or this process where there is none or it dies."""
        if self._worker is None:
            return super().submit(call, *arguments)
        made: Future[T] = Future()
        try:
            self._worker.driver.send(("call", (call, arguments)))
            word, what = self._worker.driver.recv()
        except (EOFError, OSError):
            self.close()
            return super().submit(call, *arguments)
        if word == "raised":
            made.set_exception(what)
        else:
            made.set_result(what)
        return Made(made)

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        """See `Executor.stream`; a unit whose worker died is missing from what comes out."""
        del alone  # every unit is
        pools = tuple(pool.name for pool in allocation.pools)
        names = ("load", *pools, "write")
        BOARD.expect(names)
        for done, unit in enumerate(units):
            try:
                self._give_stages(stages, pools)
                outcomes = self._ask(unit, names, done, len(units))
            except (EOFError, OSError):  # the worker died
                self.close()
                continue
            yield from outcomes

    def _give_stages(self, stages: Stages, pools: tuple[str, ...]) -> None:
        """Have the worker build them, once."""
        self.start()
        assert self._worker is not None  # noqa: S101 - it was just started
        if self._has is stages:
            return
        self._worker.driver.send(("stages", (stages, pools)))
        while True:
            word, what = self._worker.driver.recv()
            if word == "ready":
                break
            if word == "unbuilt":
                raise of_stage(what)
            BOARD.doing(what)
        BOARD.doing("")
        self._has = stages

    def _ask(self, unit: UnitSpec, names: tuple[str, ...], done: int, count: int) -> list[Outcome]:
        """Have a unit done; what it is at is shown meanwhile."""
        assert self._worker is not None  # noqa: S101 - it has the stages
        self._worker.driver.send(("unit", unit))
        at = -1
        while True:
            word, what = self._worker.driver.recv()
            if word == "outcomes":
                return list(what)
            at = names.index(what)
            self._show(
                tuple(
                    StageState(name, done + (place < at), count - done - 1, place == at, 1, 0)
                    for place, name in enumerate(names)
                )
            )

    def _show(self, states: tuple[StageState, ...]) -> None:
        BOARD.show(states)
