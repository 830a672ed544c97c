"""Small Parquet files are one request, larger ones few; rows are those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.columnar.file_rows import file_batches
from actors.prefetch import parquet_ranges
from actors.prefetch.held_objects import holding
from actors.prefetch.parquet_ranges import SMALL_BYTES, begun, kept
from actors.prefetch.spool import Spool

Asked = list[tuple[int, int]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Ranges that are read."""
    ranges: Asked = []
    reader = parquet_ranges.range_reader

    def counting(uri: str) -> object:
        read = reader(uri)

        def counted(start: int, stop: int) -> bytes:
            ranges.append((start, stop))
            return read(start, stop)

        return counted

    monkeypatch.setattr(parquet_ranges, "range_reader", counting)
    return ranges


def write(path: Path, rows: int, sound_bytes: int) -> tuple[str, int]:
    draws = np.random.default_rng(0)
    table = pa.table({
        "id": [f"row-{row}" for row in range(rows)],
        "audio": [draws.bytes(sound_bytes) for _ in range(rows)],
        "text": [f"words of {row}" for row in range(rows)],
        "more": pa.array([{"a": row, "b": "x"} for row in range(rows)]),
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=max(rows // 3, 1))
    return str(path), path.stat().st_size


def read(uri: str, columns: list[str] | None) -> pa.Table:
    return pa.Table.from_batches(file_batches(uri, 1 << 30, columns))


@pytest.mark.parametrize("columns", [None, ["id", "text"], ["more"]])
def test_a_small_file_is_one_request(
    tmp_path: Path, asked: Asked, columns: list[str] | None
) -> None:
    uri, size = write(tmp_path / "m.parquet", 9, 1000)
    ahead = kept(begun(uri, size), Spool())
    held = ahead.held(uri, columns)
    assert held is not None
    expected = read(uri, columns)
    with holding(held):
        assert read(uri, columns) == expected
    assert asked == [(0, size)]


@pytest.mark.parametrize("columns", [["id", "text"], ["more.a"], ["more"]])
@pytest.mark.parametrize("room", [0, 1 << 30])
def test_of_a_larger_file_the_columns_alone_are_read(
    tmp_path: Path, asked: Asked, columns: list[str], room: int
) -> None:
    uri, size = write(tmp_path / "m.parquet", 9, 500_000)
    assert size > SMALL_BYTES
    ahead = kept(begun(uri, size), Spool(room))
    held = ahead.held(uri, columns)
    assert held is not None
    expected = read(uri, columns)
    with holding(held):
        assert read(uri, columns) == expected
    assert len(asked) <= (4 if room else 5)  # the footer, and a piece of each row group
    assert sum(stop - start for start, stop in asked) < size / 4


def test_of_a_larger_file_without_ids_nothing_is_held(tmp_path: Path, asked: Asked) -> None:
    uri, size = write(tmp_path / "m.parquet", 9, 500_000)
    assert kept(begun(uri, size), Spool()).held(uri, None) is None
