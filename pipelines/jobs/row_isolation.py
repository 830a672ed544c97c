"""Rows of units that did not arrive, tried alone, so that only the poison ones are given up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.batch.receipt import Fault, Receipt
from actors.batch.unit import KEY_BYTES, UnitSpec
from actors.stages.part_file import store_crash
from pipelines.causes import of_unkept
from pipelines.executor.executor import Executor
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation
from pipelines.run_state.commit_record import Commit, merge_receipts, shown_keys
from pipelines.run_state.lease import Lease

ISOLATED_ATTEMPTS = 2

_Key = tuple[int, int]  # unit and row


def merged(unit: UnitSpec, receipts: Sequence[Receipt]) -> Commit:
    """The commit of a unit that came through as a whole or in parts; of rows that are to be made
    again it knows nothing.

    Raises:
        RuntimeError: fewer rows came back than went in.
    """
    commit = merge_receipts(unit.unit, unit.fingerprint, receipts)
    again = {bytes.fromhex(key) for receipt in receipts for key in receipt.again}
    added = commit.ok + commit.errors + len(again) - unit.asked
    if added < 0:
        raise RuntimeError(f"unit {unit.unit}: {-added} of {unit.asked} rows did not come back")
    return replace(
        commit,
        source=unit.source,
        start=unit.start,
        stop=unit.stop if unit.only or again else 0,
        added_rows=added,
        keys=shown_keys(_without(unit.row_keys, again)),
    )


def _without(keys: bytes, some: Collection[bytes]) -> bytes:
    """Keys of rows, one behind the other, without those of some."""
    if not some:
        return keys
    each = (keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES))
    return b"".join(key for key in each if key not in some)


@dataclass(frozen=True)
class RowIsolation:
    """Tries rows one at a time in an actor that does nothing else meanwhile.

    Attributes:
        output: OUTPUT, which the errors of rows that are given up go to.
        tried: how often their units were tried before.
        executor: runs them.
        stages: the callables.
        allocation: sizes of the pools.
        lease: must still be held when anything arrives.
    """

    output: str
    tried: int
    executor: Executor
    stages: Stages
    allocation: Allocation
    lease: Lease

    def receipts(self, units: list[UnitSpec]) -> Iterator[tuple[UnitSpec, list[Receipt]]]:
        """What becomes of units, a receipt for each of their rows.

        Raises:
            RunFailed: storage takes no results.
        """
        singles = {
            (unit.unit, row): replace(unit, row=row) for unit in units for row in unit.row_numbers
        }
        receipts, faults = self._try(singles)
        for key, spec in singles.items():
            if key not in receipts:
                receipts[key] = self._give_up(spec, faults.get(key))
        for unit in units:
            yield unit, [receipts[unit.unit, row] for row in unit.row_numbers]

    def _try(self, singles: dict[_Key, UnitSpec]) -> tuple[dict[_Key, Receipt], dict[_Key, Fault]]:
        """Receipts of the rows that came through, and the last faults of the others."""
        receipts: dict[_Key, Receipt] = {}
        faults: dict[_Key, Fault] = {}
        for _ in range(ISOLATED_ATTEMPTS):
            missing = [spec for key, spec in singles.items() if key not in receipts]
            if not missing:
                break
            for outcome in self.executor.stream(missing, self.stages, self.allocation, alone=True):
                self.lease.check()
                if outcome.row is None:
                    raise RuntimeError(f"unit {outcome.unit} came back whole; rows were asked for")
                key = outcome.unit, outcome.row
                if isinstance(outcome, Fault):
                    faults[key] = outcome
                else:
                    receipts[key] = outcome
        return receipts, faults

    def _give_up(self, spec: UnitSpec, fault: Fault | None) -> Receipt:
        attempts = self.tried + ISOLATED_ATTEMPTS
        if fault is None:
            message = "its worker process died each time this row was tried"
            return store_crash(self.output, spec, "crash", message, attempts)
        unkept = of_unkept(fault)
        if unkept:
            raise unkept
        return store_crash(self.output, spec, fault.kind, fault.message, attempts)
