"""An actor that keeps a stage, its model loaded, for the runs that come after the one it was made
for, and ends itself when none has come for a while."""

from __future__ import annotations

import threading
import time
from typing import Any

import pyarrow as pa
import ray

from actors.stages.fault_boundary import FaultBoundary
from actors.stages.pools import MakeStage
from pipelines.executor.nodes.late import NodeCheck
from pipelines.executor.pools.build import build_stage

RENEWED_EVERY_S = 2.0
_CLAIM_S = 15.0  # without a word for so long, who had claimed it is gone
_LOOKS_EVERY_S = 0.5


class WarmStage:
    """One worker of a pool that outlives its run; one run has it at a time.

    Args:
        name: of the stage.
        kind: makes the stage.
        arguments: of it.
        facts: what `facts` repeats of it for people.
        keep_s: how long it stays without a run.
    """

    def __init__(
        self, name: str, kind: MakeStage, arguments: dict[str, Any], facts: dict[str, Any],
        keep_s: float,
    ) -> None:  # fmt: skip
        self.stage = build_stage(name, kind, arguments)
        self._facts, self._keep_s = facts, keep_s
        self._lock = threading.Lock()
        self._claim, self._heard_s, self._runs = "", time.monotonic(), 0
        self._calls = 0
        me = ray.get_runtime_context().current_actor
        threading.Thread(target=self._end_when_idle, args=(me,), daemon=True).start()

    def claim(self, token: str, keep_s: float, check: NodeCheck | None) -> str | None:
        """Take it for a worker of a run.

        Args:
            token: of that worker.
            keep_s: how long it stays after that run.
            check: what its node is held against.

        Returns:
            why its node does not fit, "" where it does; None where another run has it.
        """
        with self._lock:
            if self._is_claimed() and self._claim != token:
                return None
            self._claim, self._heard_s, self._keep_s = token, time.monotonic(), keep_s
            self._runs += 1
        return check.fault_here() if check else ""

    def renew(self, token: str) -> bool:
        """Say that who claimed it is still there.

        Returns:
            whether it is still claimed so.
        """
        with self._lock:
            if self._claim != token:
                return False
            self._heard_s = time.monotonic()
        return True

    def release(self, run: str) -> None:
        """A run is over.

        Args:
            run: what the tokens of its workers begin with.
        """
        with self._lock:
            if self._claim.startswith(run):
                self._claim, self._heard_s = "", time.monotonic()

    def call(self, table: pa.Table, boundary: FaultBoundary) -> pa.Table:
        """Run the stage on a unit."""
        with self._lock:
            self._calls += 1
        return boundary.call(table, self.stage)

    def facts(self) -> dict[str, Any]:
        """What it is, how many runs and calls it has had, and when it ends; None while it is at
        work."""
        with self._lock:
            idle_s = time.monotonic() - self._heard_s
            ends_in_s = None if self._is_claimed() else max(self._keep_s - idle_s, 0.0)
            return {**self._facts, "runs": self._runs, "calls": self._calls, "ends_in_s": ends_in_s}

    def _is_claimed(self) -> bool:
        return bool(self._claim) and time.monotonic() - self._heard_s < _CLAIM_S

    def _end_when_idle(self, me: Any) -> None:
        while True:
            time.sleep(_LOOKS_EVERY_S)
            with self._lock:
                is_over = not self._is_claimed() and time.monotonic() - self._heard_s > self._keep_s
            if is_over:
                ray.kill(me)
                return
