"""The worker process of small runs: it builds the stages of a job while the driver still plans, and
then takes its units through them, one after the other."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.batch.table import Stage
    from actors.batch.unit import UnitSpec
    from actors.stages.pools import MakeStage
    from pipelines.config.job import JobConfig
    from pipelines.executor.stages import Stages

_LOOK_S = 0.5


class Worker:
    """Answers one driver.

    Args:
        driver: messages are pairs of a word and what belongs to it. It hears ``doing`` with words
            for people, and at the end of each request ``ready``, ``unbuilt``,
            ``outcomes``, ``returned`` or ``raised``.
    """

    def __init__(self, driver: Connection) -> None:
        self.driver = driver
        self.stages: Stages | None = None
        self._built: dict[str, tuple[bytes, Stage]] = {}

    def serve(self) -> None:
        """Answer until the driver closes its end."""
        answers: dict[str, Callable[[Any], None]] = {
            "prepare": self._prepare, "stages": self._take, "unit": self._run,
            "call": self._call,
        }  # fmt: skip
        while True:
            try:
                word, given = self.driver.recv()
            except EOFError:
                return
            answers[word](given)

    def _say(self, word: str, what: object = None) -> None:
        self.driver.send((word, what))

    def _prepare(self, job: JobConfig) -> None:
        """Build what a job's stages will most likely be; nothing is answered."""
        self._say("doing", "importing torch")
        from pipelines.executor.inline_executor import InlineExecutor
        from pipelines.executor.pools.build import StageNotBuilt
        from pipelines.executor.stages import make_pools
        from uniaudio2.checkpoint.folders import load_config, model_folder

        if "://" in job.model:  # what is fetched is fetched once, by the driver
            return
        try:
            model = load_config(model_folder(job.model))
            pools = make_pools(job, InlineExecutor().allocate(job), model)
            for name, (kind, arguments) in pools.items():
                self._build(name, kind, arguments)
        except (StageNotBuilt, ValueError, OSError):
            return  # it is told when the stages are asked for

    def _build(self, name: str, kind: MakeStage, arguments: dict[str, Any]) -> Stage:
        """A stage, built where the one of that name is another."""
        from pipelines.executor.pools.build import build_stage

        asked = pickle.dumps((kind, arguments))
        if self._built.get(name, (b"",))[0] != asked:
            self._built.pop(name, None)
            self._say("doing", f"loading the model for {name}")
            self._built[name] = asked, build_stage(name, kind, arguments)
        return self._built[name][1]

    def _take(self, given: tuple[Stages, tuple[str, ...]]) -> None:
        from pipelines.executor.pools.build import StageNotBuilt

        self.stages, names = given
        try:
            calls = {name: self._build(name, *self.stages.pools[name]) for name in names}  # type: ignore[index]
        except StageNotBuilt as fault:
            self._say("unbuilt", str(fault))
            return
        self.calls = {"load": self.stages.load, **calls, "write": self.stages.write}
        self.boundaries = {name: self.stages.boundary(name) for name in self.calls}
        self._say("ready")

    def _call(self, given: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        call, arguments = given
        try:
            self._say("returned", call(*arguments))
        except Exception as fault:  # whatever it is, the driver has asked
            self._say("raised", fault)

    def _run(self, unit: UnitSpec) -> None:
        from actors.batch.receipt import outcomes

        table = unit.to_table()
        for name, stage in self.calls.items():
            self._say("at", name)
            table = self.boundaries[name].call(table, stage)
        self._say("outcomes", list(outcomes(table)))


def _end_with(driver: int) -> None:
    """End this process when its driver is gone, whatever it is at."""
    while os.getppid() == driver:
        time.sleep(_LOOK_S)
    os._exit(0)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Ctrl-Z stops the clocks of the stages, too, until the process goes on."""
    from actors.stages.fault_boundary import WATCHDOG

    with WATCHDOG.held():
        os.kill(os.getpid(), signal.SIGSTOP)


def serve(descriptor: int, driver: int) -> None:
    """What the process does.

    Args:
        descriptor: of the connection to the driver.
        driver: the driver's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    signal.signal(signal.SIGTSTP, _stop)
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    try:
        Worker(Connection(descriptor)).serve()
    except (BrokenPipeError, ConnectionResetError):
        return
