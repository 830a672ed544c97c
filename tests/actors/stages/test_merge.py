"""Large parts of small ones: the same rows in the same order, whatever their columns."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.stages.merge import Marked, PartChanged, merge_parts
from actors.stages.part_file import GROUP_ROWS, parquet_bytes, store
from actors.storage.object_store import Storage

MERGED = 90_000_000


def put(storage: Storage, unit: int, table: pa.Table) -> Marked:
    path = f"data/part-{unit:08d}-aaaaaaaa.parquet"
    return path, store(storage, path, parquet_bytes(table))


def table_of(count: int, first: int = 0, **more: pa.Array) -> pa.Table:
    return pa.table({"id": [f"r{first + n}" for n in range(count)], **more})


def test_rows_stay_in_their_order_in_groups_that_can_be_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    sizes = [3000, 1, 4096, 2500, 17]
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    tables = [table_of(size, first) for size, first in zip(sizes, firsts, strict=True)]
    marked = [put(storage, unit, table) for unit, table in enumerate(tables)]
    made = merge_parts(str(tmp_path), MERGED, marked, [])
    assert (made.ok, made.errors, made.error_parts) == (sum(sizes), 0, ())
    with pq.ParquetFile(io.BytesIO(storage.read(made.data[0]))) as file:
        assert file.read().equals(pa.concat_tables(tables))
        groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    assert max(groups) == GROUP_ROWS
    assert len(groups) == -(-sum(sizes) // GROUP_ROWS)
    again = merge_parts(str(tmp_path), MERGED + 1, [(p, made.files[p]) for p in made.data], [])
    old, new = (pq.read_metadata(tmp_path / p.data[0]).metadata for p in (made, again))
    assert old[b"uniaudio2.units"] == new[b"uniaudio2.units"]  # of the units, not of the merger


def test_parts_of_other_columns_stay_apart(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    more = {"text": pa.array(["x", "y"])}
    marked = [put(storage, n, table_of(2, n, **(more if n == 1 else {}))) for n in range(4)]
    made = merge_parts(str(tmp_path), MERGED, marked, [])
    found = [pq.read_table(tmp_path / path) for path in made.data]
    assert [table.column_names for table in found] == [["id"], ["id", "text"], ["id"]]
    assert [len(table) for table in found] == [2, 2, 4]
    assert made.ok == 8


def test_what_is_not_as_its_record_says_is_not_merged(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    good, other = (put(storage, n, table_of(2)) for n in range(2))
    storage.put(other[0], parquet_bytes(table_of(2, 7)))
    with pytest.raises(PartChanged, match="differs from its commit record"):
        merge_parts(str(tmp_path), MERGED, [good, other], [])
    storage.delete(other[0])
    with pytest.raises(PartChanged, match="is missing"):
        merge_parts(str(tmp_path), MERGED, [good, other], [])
    assert [path.name for path in (tmp_path / "data").iterdir()] == [good[0][5:]]
