"""Rows tried alone: what is given up, and what is no row's fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.receipt import Fault, FaultKind, Outcome, Receipt
from actors.batch.unit import UnitSpec, to_stream
from actors.storage.object_store import Storage
from pipelines import RunFailed
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.jobs.row_isolation import ISOLATED_ATTEMPTS, RowIsolation, merged
from pipelines.run_state.lease import Lease

ROWS = to_stream(pa.table({"id": ["a", "b"], "text": ["x", "y"]}))
UNIT = UnitSpec(3, "", 0, 2, "", "f", ROWS)


class OneRowFails(InlineExecutor):
    """Row 0 fails every time with a fault of a kind, row 1 comes through."""

    def __init__(self, kind: FaultKind) -> None:
        self.kind = kind

    def stream(self, units: Sequence[UnitSpec], *_: Any, **__: Any) -> Iterator[Outcome]:
        for unit in units:
            if unit.row == 0:
                yield Fault(3, 0, self.kind, "write: OSError: no room")
            else:
                yield Receipt(3, 1, 0, {}, {}, row=1, data=("d",))


def isolated(output: Path, kind: FaultKind) -> RowIsolation:
    """Units of two rows, one of which fails."""
    unused: Any = None
    executor = OneRowFails(kind)
    return RowIsolation(str(output), 2, executor, unused, unused, Lease(Storage(str(output))))


def test_a_row_whose_stage_raises_is_given_up(tmp_path: Path) -> None:
    (found,) = isolated(tmp_path, "fault").receipts([UNIT])
    commit = merged(*found)
    assert (commit.ok, commit.errors, commit.kinds) == (1, 1, {"fault": 1})
    (row,) = pq.read_table(tmp_path / commit.error_parts[0]).to_pylist()
    assert (row["id"], row["attempts"]) == ("a", 2 + ISOLATED_ATTEMPTS)


def test_storage_that_takes_no_results_is_no_rows_fault(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"^storage: .*no room; .*the same command goes on"):
        list(isolated(tmp_path, "storage").receipts([UNIT]))
    assert not list(tmp_path.iterdir())
