"""The plan of a large INPUT by portions, so that the first units run while the rest is found.

A portion holds all that the one before it held, and more files. Each is a plan like any other: rows
that were done of the one before are known in it as they are after a stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipelines.errors import UsageError
from pipelines.planning.plan import Plan

# Parquet files of the first portion, and 16 times as many as tars: some seconds, however many
# there are
FIRST_FILES = 1024
_GROWTH = 8  # few portions, for pools start again with each
_LOOK_S = 0.2

MakePlan = Callable[[int | None], Plan]
"""Plans so many files of INPUT; None plans all."""


class Portions:
    """Plans the rest of an INPUT in a thread, portion after portion.

    Args:
        make: called in the thread.
        files: how many are in the portion that is there.
    """

    def __init__(self, make: MakePlan, files: int) -> None:
        self._make, self._files = make, files
        self._plan: Plan | None = None
        self._fault: BaseException | None = None
        self._is_new = threading.Event()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to plan."""
        self._thread.start()

    def stop(self) -> None:
        """No further portion is wanted."""
        self._is_stopped.set()

    def _run(self) -> None:
        files: int | None = self._files
        try:
            while files is not None and not self._is_stopped.is_set():
                files *= _GROWTH
                plan = self._make(files)
                files = files if plan.later_files else None
                if plan.kept is not None:
                    plan.kept.store(is_whole=not plan.later_files)
                self._plan = plan
                self._is_new.set()
        except BaseException as fault:
            self._fault = fault
            self._is_new.set()

    def check(self) -> None:
        """Raise what ended the planning, as soon as it did.

        Raises:
            UsageError: INPUT cannot be run as asked.
            RunFailed: it cannot be read.
        """
        if isinstance(self._fault, UsageError):
            what = "; what was done of the first files meanwhile stays in OUTPUT"
            raise UsageError(f"{self._fault}{what}") from self._fault
        if self._fault is not None:
            raise self._fault

    def next(self) -> Plan:
        """The latest portion, which has more than any that was taken; waits for it.

        Raises:
            UsageError, RunFailed: as `check`.
        """
        while not self._is_new.wait(_LOOK_S):  # so that a signal gets through
            pass
        self._is_new.clear()
        self.check()
        if self._plan is None:
            raise AssertionError("a portion was announced and is not there")
        return self._plan
