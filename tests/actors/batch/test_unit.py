"""Ids are stable, and a unit reads exactly its rows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

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


@pytest.mark.parametrize("ids", [[1.0], [True], [b"a"], [["a"]], [{"a": 1}]])
def test_ids_of_other_kinds_are_refused(ids: list[object]) -> None:
    with pytest.raises(ValueError, match="text or whole numbers"):
        row_ids(pa.table({"id": ids}))


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
