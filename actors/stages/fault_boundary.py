"""Keep a stage's fault, or a call that hangs, from taking its unit away without a word."""

from __future__ import annotations

import faulthandler
import itertools
import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from actors.batch.intermediate_store import IntermediateStore, is_done
from actors.batch.names import DONE, FAULT, ROW, UNIT
from actors.batch.receipt import Fault, FaultKind
from actors.batch.schema import StageColumns, check_table
from actors.batch.stage_times import stamp, steady_now_s
from actors.batch.table import Stage
from actors.batch.unit import UnitSpec
from actors.storage.object_store import is_storage_fault
from uniaudio2.runtime.memory_budget import is_out_of_memory
from uniaudio2.terminal import say

_STDERR = 2  # the descriptor: whatever sys.stderr has become, this one can be written
_SHORTEST_S = 1e-3
_DEVICE_LOST = ("CUDA error", "cudaError", "device-side assert", "CUBLAS_STATUS", "NCCL")


class Watchdog:
    """Ends the process when any of the calls under way, in any thread, exceeds its time."""

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._numbers = itertools.count()
        self._lock = threading.RLock()  # `held` may come, by a signal, while this thread has it

    def begin(self, timeout_s: float) -> int:
        """A call begins; `end` wants the number that is returned."""
        with self._lock:
            number = next(self._numbers)
            self._deadlines[number] = time.monotonic() + timeout_s
            self._arm()
        return number

    def end(self, number: int) -> None:
        """A call has returned or raised."""
        with self._lock:
            del self._deadlines[number]
            self._arm()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Time that passes within counts for no call."""
        faulthandler.cancel_dump_traceback_later()
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                stood_s = time.monotonic() - began
                for number in self._deadlines:
                    self._deadlines[number] += stood_s
                self._arm()

    def _arm(self) -> None:
        if not self._deadlines:
            faulthandler.cancel_dump_traceback_later()
            return
        left_s = max(min(self._deadlines.values()) - time.monotonic(), _SHORTEST_S)
        # the timer is a thread of C: it fires even if the call holds the interpreter's lock
        faulthandler.dump_traceback_later(left_s, exit=True, file=_STDERR)


WATCHDOG = Watchdog()


@dataclass(frozen=True)
class FaultBoundary:
    """What surrounds every call of a stage.

    Attributes:
        name: the stage's name.
        timeout_s: a call that takes longer ends its process; the unit is then tried again.
        store: where the result is kept for a later run, or None.
        columns: what the stage states; its result is held against it.
    """

    name: str
    timeout_s: float
    store: IntermediateStore | None = None
    columns: StageColumns | None = None

    def call(self, table: pa.Table, stage: Stage) -> pa.Table:
        """Call a stage; if it raises, hand on one row that says so instead of the unit.

        What is returned also tells when the stage worked and for how long. Bad rows never come
        here: a stage marks them itself. A lost device cannot serve another call, so the process
        ends and the pool starts a new one.

        Args:
            table: a unit, or what an earlier stage's fault left of it.
            stage: table in, table out.
        """
        if FAULT in table.column_names or is_done(table, self.name):
            return table
        watched = WATCHDOG.begin(self.timeout_s)
        began, clock = steady_now_s(), time.monotonic()
        storing = self.name == "write"
        try:
            result = stage(table)
            if self.columns and DONE not in result.column_names:
                check_table(result, self.name, self.columns)
            result = stamp(table, result, self.name, began, time.monotonic() - clock)
            storing = True
            return self.store.keep(result) if self.store else result
        except Exception as fault:
            if any(sign in str(fault) for sign in _DEVICE_LOST):
                say(traceback.format_exc(), error=True, lines=True)
                os._exit(70)
            return self._fault(table, fault, storing)
        finally:
            WATCHDOG.end(watched)

    def refuse(self, table: pa.Table, why: str) -> pa.Table:
        """Hand on that a unit was not worked on, for its node's sake.

        Args:
            table: as for `call`.
            why: names the node and what is wrong there.
        """
        if FAULT in table.column_names:
            return table
        return Fault(*_address(table), "node", f"{self.name}: {why}").to_table()

    def _fault(self, table: pa.Table, fault: Exception, storing: bool) -> pa.Table:
        kind: FaultKind = "out_of_memory" if is_out_of_memory(fault) else "fault"
        if storing and isinstance(fault, OSError):
            # no row is to blame when what came of it cannot be kept
            kind = "storage" if is_storage_fault(fault) else "machine"
        first_line = (str(fault).strip().splitlines() or [""])[0]
        unit, row = _address(table)
        return Fault(
            unit, row, kind, f"{self.name}: {type(fault).__name__}: {first_line}"
        ).to_table()


def _address(table: pa.Table) -> tuple[int, int | None]:
    """The unit of a table, and its row where it holds one alone."""
    if UNIT in table.column_names:
        return table.column(UNIT)[0].as_py(), table.column(ROW)[0].as_py()
    spec = UnitSpec.from_table(table)
    return spec.unit, spec.row
