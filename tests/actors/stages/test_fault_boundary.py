"""What surrounds a stage: faults become words, hung calls end their process, tokens are kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from actors.batch.intermediate_store import IntermediateStore, is_done, kept_path, read_kept
from actors.batch.receipt import Fault
from actors.batch.table import read_codes, start_table, write_codes
from actors.batch.unit import UnitSpec
from actors.stages.fault_boundary import FaultBoundary
from actors.storage.object_store import Storage
from tests.actors.outcomes import fault_of
from uniaudio2.tokens.codes import Codes

BOUNDARY = FaultBoundary("encode", timeout_s=60)


def unit_table(row: int | None = None) -> pa.Table:
    inputs = pa.array([{"x": 1}, {"x": 2}])
    table = start_table(["a", "b"], inputs, 7, row, "f" * 32)
    codes = Codes(torch.ones(1, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    return write_codes(table, {0: codes, 1: codes})


def failing(_: pa.Table) -> pa.Table:
    raise RuntimeError("no memory\nand more")


def test_a_fault_names_unit_row_and_stage() -> None:
    fault = fault_of(BOUNDARY.call(unit_table(), failing))
    assert fault == Fault(7, None, "fault", "encode: RuntimeError: no memory")
    spec = UnitSpec(3, "", 0, 2, "", "f", row=1).to_table()
    assert fault_of(BOUNDARY.call(spec, failing)) == Fault(
        3, 1, "fault", "encode: RuntimeError: no memory"
    )


def test_want_of_memory_is_told_from_other_faults() -> None:
    def greedy(_: pa.Table) -> pa.Table:
        torch.empty(1 << 60, dtype=torch.uint8)
        raise AssertionError

    fault = fault_of(BOUNDARY.call(unit_table(), greedy))
    assert fault.kind == "out_of_memory"


@pytest.mark.parametrize(
    ("name", "folder", "kind"),
    [
        ("write", "/dev/null", "storage"),
        ("write", "", "machine"),
        ("load", "/dev/null", "fault"),
    ],
)
def test_what_cannot_be_written_is_told_from_what_cannot_be_read(
    name: str, folder: str, kind: str
) -> None:
    def unstored(_: pa.Table) -> pa.Table:
        if folder:
            Storage(folder).put("part", b"rows")
        raise OSError(24, "Too many open files")

    fault = fault_of(FaultBoundary(name, 60).call(unit_table(), unstored))
    assert (fault.kind, fault.stage) == (kind, name)


def test_tokens_that_cannot_be_kept_are_no_rows_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    boundary = FaultBoundary("encode", 60, IntermediateStore(str(tmp_path / "file"), "encode"))
    fault = fault_of(boundary.call(unit_table(), lambda table: table))
    assert fault.kind == "storage"


def test_a_fault_passes_the_stages_after_it() -> None:
    fault = BOUNDARY.call(unit_table(), failing)
    assert BOUNDARY.call(fault, failing) is fault


@pytest.mark.slow
@pytest.mark.parametrize("body", ["time.sleep(60)", "__import__('re').match('(a+)+b', 'a' * 60)"])
def test_a_hung_call_ends_its_process_even_inside_c(body: str) -> None:
    script = (
        "import time; import pyarrow as pa\n"
        "from actors.stages.fault_boundary import FaultBoundary\n"
        "table = pa.table({'unit': [0], 'row': [0]})\n"
        f"FaultBoundary('decode', 0.3).call(table, lambda t: {body})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=50)
    assert done.returncode == 1
    assert b"Timeout" in done.stderr


@pytest.mark.slow
def test_of_calls_side_by_side_the_one_that_hangs_is_found() -> None:
    """Other calls come and go; they neither stop the timer nor start it anew."""
    script = (
        "import threading, time; import pyarrow as pa\n"
        "from actors.stages.fault_boundary import FaultBoundary\n"
        "table = pa.table({'unit': [0], 'row': [0]})\n"
        "hang = lambda t: time.sleep(60)\n"
        "first = FaultBoundary('a', 1.0).call\n"
        "threading.Thread(target=first, args=(table, hang), daemon=True).start()\n"
        "while True:\n"
        "    FaultBoundary('b', 30.0).call(table, lambda t: time.sleep(0.05) or t)\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=50)
    assert done.returncode == 1
    assert b"Timeout" in done.stderr
    assert time.monotonic() - begun < 25


def test_a_call_in_time_leaves_no_timer_behind() -> None:
    FaultBoundary("encode", 0.2).call(unit_table(), lambda table: table)
    time.sleep(0.4)  # the process would end here


def test_kept_tokens_come_back_and_skip_what_is_done(tmp_path: Path) -> None:
    boundary = FaultBoundary("encode", 60, IntermediateStore(str(tmp_path), "encode"))
    kept = boundary.call(unit_table(), lambda table: table)
    uri = Storage(str(tmp_path)).uri(kept_path(7, "f" * 32))
    whole = read_kept(uri, None)
    assert whole.equals(kept)
    assert boundary.call(whole, failing).equals(whole)  # not called
    assert not is_done(whole, "generate")
    single = read_kept(uri, 1)
    assert (single["id"].to_pylist(), single["row"].to_pylist()) == (["b"], [1])
    assert read_codes(single, 0).recon.tolist() == [[1] * 8] * 2


def test_a_later_stage_replaces_what_is_kept(tmp_path: Path) -> None:
    for stage in ("encode", "generate"):
        kept = FaultBoundary(stage, 60, IntermediateStore(str(tmp_path), stage)).call(
            unit_table(), lambda table: table
        )
    assert is_done(kept, "encode")
    assert is_done(kept, "generate")
    assert not is_done(kept, "decode")
    assert len(list(tmp_path.rglob("*.arrow"))) == 1


def test_single_rows_are_not_kept_for_the_unit(tmp_path: Path) -> None:
    FaultBoundary("encode", 60, IntermediateStore(str(tmp_path), "encode")).call(
        unit_table(row=1), lambda t: t
    )
    assert not list(tmp_path.rglob("*.arrow"))
