"""Shares one engine among many callers, so that a unit's tail overlaps the head of the next."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.runtime.memory_budget import release_traceback

_T = TypeVar("_T")
_STEP_S = 30.0  # more than a step takes


@dataclass(eq=False)
class _Call:
    """What one caller waits for; `request_ids` are those of the requests that the engine has."""

    requests: Sequence[Request]
    future: Future[list[RequestOutput]]
    request_ids: list[int] = field(default_factory=list)


@dataclass(eq=False)
class _Work(Generic[_T]):
    """Other work on the model, which waits for the end of a step."""

    call: Callable[[], _T]
    future: Future[_T]

    def do(self) -> None:
        try:
            self.future.set_result(self.call())
        except Exception as fault:
            release_traceback(fault)
            self.future.set_exception(fault)


class SharedEngine:
    """Answers calls from any thread with one engine, which a thread of its own drives.

    A fault of the engine fails every call that is under way, and none that comes later: those get
    a new engine, which is made when nothing holds the memory of the old one any more. Where none
    can be made, the calls that wait for it fail, and the next one tries again.

    Args:
        make_engine: builds an engine.

    Attributes:
        engine: what answers; None after a fault, until the next call.
    """

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        self._make_engine = make_engine
        self._inbox: queue.SimpleQueue[_Call | _Work[Any]] = queue.SimpleQueue()
        self._ended = False
        self._busy = threading.Event()
        self._driver: threading.Thread | None = None
        self._starting = threading.Lock()
        self.engine: Engine | None = make_engine()

    def generate(self, requests: Sequence[Request]) -> list[RequestOutput]:
        """Answer requests; blocks until all have their outputs.

        Returns:
            one output per request, in their order.

        Raises:
            Exception: whatever the engine raised while they were under way, or was raised when a
                new one was made.
        """
        if not requests:
            return []
        call = _Call(requests, Future())
        self._put(call)
        return call.future.result()

    def run(self, call: Callable[[], _T]) -> _T:
        """Do other work on the engine's model between two steps, in the engine's thread: nothing
        else runs on the device meanwhile, which a step that is being captured would not bear.

        Raises:
            Exception: whatever it raised; requests that are under way are not touched.
        """
        work = _Work(call, Future())
        self._put(work)
        return work.future.result()

    def _put(self, asked: _Call | _Work[Any]) -> None:
        with self._starting:
            if self._driver is None:
                self._driver = threading.Thread(target=self._drive, name="engine", daemon=True)
                self._driver.start()
                _DRIVEN.add(self)
        self._inbox.put(asked)

    def end(self) -> None:
        """Give up what is under way after the step that is being made; nothing is answered from
        here on. Python ends threads of this kind wherever they are, and one that is within torch
        takes the process with it (``terminate called without an active exception``, SIGABRT)."""
        self._ended = True
        if self._driver is not None and self._busy.is_set():
            self._driver.join(_STEP_S)

    def _drive(self) -> None:
        waiting: list[_Call] = []
        outputs: dict[int, RequestOutput] = {}
        while not self._ended:
            try:
                self._receive(waiting)
                if not waiting:  # it was other work
                    continue
                outputs |= self._step()
                waiting = [call for call in waiting if not self._finish(call, outputs)]
            except Exception as fault:
                self.engine = None  # no name of this frame holds it
                release_traceback(fault)
                for call in waiting:
                    call.future.set_exception(fault)
                waiting, outputs = [], {}

    def _step(self) -> dict[int, RequestOutput]:
        if self._ended:
            return {}
        engine = self._ready()
        engine.step()
        return engine.pop_finished_outputs()

    def _ready(self) -> Engine:
        if self.engine is None:
            self.engine = self._make_engine()
        return self.engine

    def _receive(self, waiting: list[_Call]) -> None:
        """Add calls that have come to those that wait; if none does, wait for one to come."""
        if not waiting:
            self._busy.clear()
        asked = [] if waiting else [self._inbox.get()]
        self._busy.set()
        if self._ended:
            return
        while not self._inbox.empty():
            asked.append(self._inbox.get())
        for one in asked:
            if isinstance(one, _Work):
                one.do()
        come = [one for one in asked if isinstance(one, _Call)]
        waiting += come  # at once: whatever fails from here on, they are told
        engine = self._ready()
        for call in come:
            try:
                for request in call.requests:
                    call.request_ids.append(engine.add_request(request))
            except ValueError as fault:  # this call's own mistake
                for request_id in call.request_ids:
                    engine.abort_request(request_id)
                call.future.set_exception(fault)
                waiting.remove(call)

    @staticmethod
    def _finish(call: _Call, outputs: dict[int, RequestOutput]) -> bool:
        if not all(request_id in outputs for request_id in call.request_ids):
            return False
        call.future.set_result([outputs.pop(request_id) for request_id in call.request_ids])
        return True


_DRIVEN: weakref.WeakSet[SharedEngine] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for engine in list(_DRIVEN):
        engine.end()
