"""A unit carries when each stage worked on it, whatever the stage returns."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa

from actors.batch.names import STAGE_TIMES
from actors.batch.receipt import Receipt
from actors.batch.stage_times import read_times, times_from_json, worker_name
from actors.batch.table import mark_errors, start_table
from actors.stages.fault_boundary import FaultBoundary
from uniaudio2.errors import BadRow


def unit_table() -> pa.Table:
    return start_table(["a", "b", "c"], pa.array([{"x": 1}] * 3), 7)


def fail_first(table: pa.Table) -> pa.Table:
    return mark_errors(table, "load", {0: BadRow("too_long", "no")})


def fail_second(table: pa.Table) -> pa.Table:
    return mark_errors(table.drop_columns([STAGE_TIMES]), "encode", {1: BadRow("fault", "no")})


def receipt(_: pa.Table) -> pa.Table:
    return Receipt(7, 1, 1, {}, {}).to_table()


def test_every_stage_adds_its_call_even_if_it_drops_the_column() -> None:
    table = FaultBoundary("load", 60).call(unit_table(), fail_first)
    table = FaultBoundary("encode", 60).call(table, fail_second)
    table = FaultBoundary("write", 60).call(table, receipt)
    calls = read_times(table)
    assert [(call.stage, call.rows, call.failed) for call in calls] == [
        ("load", 2, 1), ("encode", 1, 1), ("write", 1, 0),
    ]  # fmt: skip
    assert {call.worker for call in calls} == {worker_name()}
    assert all(call.busy_s >= 0 and call.end >= call.begin > 1e9 for call in calls)
    assert [call.begin for call in calls] == sorted(call.begin for call in calls)
    assert times_from_json(table[STAGE_TIMES][0].as_py()) == calls


def test_a_table_without_calls_has_none() -> None:
    assert read_times(unit_table()) == []
    assert times_from_json(None) == []


def test_another_process_has_another_name() -> None:
    script = "from actors.batch.stage_times import worker_name; print(worker_name())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() not in ("", worker_name())
    assert worker_name() == worker_name()
