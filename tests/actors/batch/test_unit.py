"""Ids are stable, and a unit reads exactly its rows."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.unit import UnitSpec, row_ids, to_stream
from actors.columnar.file_rows import open_parquet, read_parquet_rows


def test_ids_come_from_the_column_or_from_the_whole_row() -> None:
    assert row_ids(pa.table({"id": [7, None], "text": ["a", "b"]})) == ["7", None]
    first = row_ids(pa.table({"text": ["a", "b"], "audio": [b"\x00\x01", b"\x00\x01"]}))
    swapped = row_ids(pa.table({"audio": [b"\x00\x01"], "text": ["a"]}))
    assert len(set(first)) == 2
    assert first[0] == swapped[0]
    assert first[0] == row_ids(pa.table({"text": ["a"], "audio": [b"\x00\x01"]}))[0]


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 9), (9, 10), (0, 10), (4, 4)])
def test_rows_across_row_groups(tmp_path: Path, start: int, stop: int) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"n": list(range(10))}), path, row_group_size=4)
    assert read_parquet_rows(str(path), start, stop)["n"].to_pylist() == list(range(start, stop))


def test_an_address_survives_its_table() -> None:
    rows = to_stream(pa.table({"id": ["a", "b"], "text": ["x", "y"]}))
    unit = UnitSpec(4, "", 0, 2, "/base", "f" * 32, rows)
    assert UnitSpec.from_table(unit.to_table()) == unit
    assert unit.read()["text"].to_pylist() == ["x", "y"]


def test_one_row_of_a_unit() -> None:
    rows = to_stream(pa.table({"id": ["a", "b"]}))
    single = UnitSpec(4, "", 0, 2, "", "f", rows, row=1)
    assert single.row_count == 1
    assert single.read()["id"].to_pylist() == ["b"]


@pytest.mark.parametrize("ids", [[True], [b"\xff"], [["a"]], [{"a": 1}], [date(2026, 1, 1)]])
def test_ids_of_other_kinds_are_refused(ids: list[object]) -> None:
    with pytest.raises(ValueError, match=r"text or numbers|UTF-8"):
        row_ids(pa.table({"id": ids}))


@pytest.mark.parametrize(("ids", "expected"), [
    (pa.array([12.0, 0.5, None, float("nan"), float("inf"), -0.0]),
     ["12", "0.5", None, None, None, "0"]),
    (pa.array([12.0, 0.5, 1e22], pa.float32()), ["12", "0.5", "9999999778196308361216"]),
    (pa.array([Decimal("12.00"), Decimal("12.50"), None, Decimal("-0.00"), Decimal("100.00")]),
     ["12", "12.5", None, "0", "100"]),
    (pa.array([Decimal(f"{'9' * 40}.10")], pa.decimal256(50, 2)), [f"{'9' * 40}.1"]),
    (pa.array([Decimal(100)], pa.decimal128(20, 0)), ["100"]),
    (pa.array([b"a", "ä".encode(), None]), ["a", "ä", None]),
    (pa.array([b"a"], pa.large_binary()), ["a"]),
    (pa.array([UUID(int=7).bytes], pa.uuid()), ["00000000-0000-0000-0000-000000000007"]),
    (pa.array(["b", "a", "b"]).dictionary_encode(), ["b", "a", "b"]),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
], ids=lambda one: str(getattr(one, "type", "")))  # fmt: skip
def test_ids_are_numbers_or_text(ids: pa.Array, expected: list[str | None]) -> None:
    """Engines make floats of whole numbers where one is null, and decimals of keys."""
    assert row_ids(pa.table({"id": ids})) == expected


def test_rows_that_python_cannot_hold_have_ids() -> None:
    broken = pa.array([b"a\xff", b"b\xff"], pa.binary()).view(pa.string())
    table = pa.table({"text": broken, "when": pa.array([2**62] * 2, pa.timestamp("s"))})
    first, second = row_ids(table)
    assert first != second
    with pytest.raises(ValueError, match="UTF-8") as caught:
        row_ids(pa.table({"id": broken}))
    assert "0xff" not in str(caught.value)


@pytest.mark.timeout(10)
def test_a_pipe_is_no_parquet_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.parquet")
    with pytest.raises(OSError, match="not a regular file"):
        open_parquet(str(tmp_path / "m.parquet"))


def test_some_rows_of_a_unit() -> None:
    rows = to_stream(pa.table({"id": ["a", "b", "c"]}))
    some = UnitSpec(4, "", 0, 3, "", "f", rows, only=(0, 2))
    assert UnitSpec.from_table(some.to_table()) == some
    assert some.row_count == 2
    assert some.read()["id"].to_pylist() == ["a", "c"]
    alone = replace(some, row=2)  # places are those in the whole unit
    assert (alone.row_numbers, alone.read()["id"].to_pylist()) == ((2,), ["c"])
