"""What the stages of a running stream are doing, as Ray Data's own scheduler sees it."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any

import ray
from ray.data._internal.execution.execution_callback import ExecutionCallback

TASK_STAGES = ("load", "write")
_SOURCES = 2
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class StageState:
    """One stage at a moment.

    Attributes:
        name: of the stage.
        rows: rows that came out of it in this pass; of the last stage, units.
        queue: units that wait for it.
        running: units in it.
        ready: actors that can work; 0 for tasks.
        pending: actors that are starting.
    """

    name: str
    rows: int
    queue: int
    running: int
    ready: int
    pending: int


class _Board:
    """The latest states; the stream's thread writes, the view's thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._states: tuple[StageState, ...] = ()
        # weak, for a handle that is kept would keep an actor from being given up
        self._actors: weakref.WeakSet[Any] = weakref.WeakSet()
        self._seen = 0.0

    def expect(self, names: tuple[str, ...]) -> None:
        with self._lock:
            self._names, self._states, self._seen = names, (), 0.0

    def states(self) -> tuple[StageState, ...]:
        with self._lock:
            return self._states

    def look(self, topology: Any) -> None:
        now = time.monotonic()
        if now - self._seen < _LOOK_EVERY_S:
            return
        self._seen = now
        # the first operators hold the units' addresses and hand them out
        found = list(topology.items())[_SOURCES:]
        if len(found) != len(self._names):
            return
        states = tuple(
            _state(name, op, state) for name, (op, state) in zip(self._names, found, strict=True)
        )
        with self._lock:
            self._states = states
            for op, _ in found:
                self._actors.update(_actors_of(op))

    def take_actors(self) -> list[Any]:
        with self._lock:
            taken = list(self._actors)
            self._actors.clear()
            return taken


def _actors_of(op: Any) -> list[Any]:
    pool = getattr(op, "_actor_pool", None)
    return [*pool._running_actors, *pool._pending_actors.values()] if pool else []


def _state(name: str, op: Any, state: Any) -> StageState:
    actors = op.get_actor_info()
    return StageState(
        name=name,
        rows=int(op.metrics.rows_task_outputs_generated),
        queue=int(state.total_enqueued_input_blocks()),
        running=int(op.num_active_tasks()),
        ready=int(actors.running),
        pending=int(actors.pending + actors.restarting),
    )


_BOARD = _Board()


class StageWatch(ExecutionCallback):  # type: ignore[misc] # ray ships no types
    """Ray makes one for every stream and calls it at every step of its scheduler."""

    def on_execution_step(self, executor: Any) -> None:
        """Look at the operators; what cannot be seen is not shown, and never stops a run."""
        try:
            _BOARD.look(executor._topology)
        except Exception:  # these are Ray's private parts, and another release may move them
            _BOARD.expect(())


def expect_stages(names: tuple[str, ...]) -> None:
    """Tell the stages of the stream that begins now, in order."""
    _BOARD.expect(names)


def end_actors() -> None:
    """Kill the actors of the stream that is over.

    Ray Data only drops their handles. One that still stands somewhere, in a cycle or a thread that
    has not ended, keeps an idle actor and its CPUs, and the next stream would wait for ever.
    """
    for actor in _BOARD.take_actors():
        if ray.is_initialized():  # else ray.kill would start a cluster
            ray.kill(actor)


def stage_states() -> tuple[StageState, ...]:
    """What the stages are doing; empty when nothing runs or nothing can be seen."""
    return _BOARD.states()
