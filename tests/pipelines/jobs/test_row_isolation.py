"""Rows tried alone: what is given up, and what is no row's fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.unit import UnitSpec, to_stream
from actors.storage.object_store import Storage
from pipelines import RunFailed
from pipelines.jobs import row_isolation
from pipelines.jobs.row_isolation import ISOLATED_ATTEMPTS, Isolation
from pipelines.run_state.lease import Lease

ROWS = to_stream(pa.table({"id": ["a", "b"], "text": ["x", "y"]}))
UNIT = UnitSpec(3, "", 0, 2, "", "f", ROWS)


def isolated(output: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Isolation:
    """Row 0 fails every time with a fault of a kind, row 1 comes through."""

    def stream(units: list[UnitSpec], *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        for unit in units:
            if unit.row == 0:
                yield {"unit": 3, "row": 0, "kind": kind, "fault": "write: OSError: no room"}
            else:
                good = {"ok": 1, "errors": 0, "data": ["d"], "error_parts": [], "kinds": {}}
                yield {"unit": 3, "row": 1, "files": {}, **good}

    monkeypatch.setattr(row_isolation, "stream_units", stream)
    unused: Any = None
    return Isolation(str(output), 2, unused, unused, Lease(Storage(str(output))))


def test_a_row_whose_stage_raises_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commit,) = isolated(tmp_path, monkeypatch, "fault").commits([UNIT])
    assert (commit.ok, commit.errors, commit.kinds) == (1, 1, {"fault": 1})
    (row,) = pq.read_table(tmp_path / commit.error_parts[0]).to_pylist()
    assert (row["id"], row["attempts"]) == ("a", 2 + ISOLATED_ATTEMPTS)


def test_storage_that_takes_no_results_is_no_rows_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunFailed, match=r"no room; the same command goes on"):
        list(isolated(tmp_path, monkeypatch, "storage").commits([UNIT]))
    assert not list(tmp_path.iterdir())
