"""Parts of anyone: what no run writes is refused without a byte of it in the message."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.error_rows import ERRORS_SCHEMA
from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from pipelines.run_state.parts import BadPart, plain_rows, read_errors_part, read_part, table_of

PATH = "data/part-00000000-aaaaaaaa.parquet"
ROWS = pa.table({"id": ["a", "b"], "text": ["x", None], "n": [1, 2]})


def test_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put(PATH, parquet_bytes(ROWS))
    assert read_part(storage, PATH).equals(ROWS)
    assert read_part(storage, PATH, ["n", "id", "gone"]).column_names == ["id", "n"]


def _one_group(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"the secret line", "no whole Parquet"),
        (b"PAR1" + b"secret" * 50 + b"PAR1", "no whole Parquet"),
        (parquet_bytes(ROWS)[:-40] + bytes(32) + b"secretxx", "no whole Parquet"),
        (parquet_bytes(pa.table({"secret": ["a"]})), "no ids"),
        (parquet_bytes(pa.table({"id": [1]})), "no ids"),
        (_one_group(pa.table({"id": ["x"] * 5000})), "claims 5000 rows"),
        (parquet_bytes(pa.Table.from_arrays([pa.array(["a"])] * 2, ["id", "id"])), "one name"),
        (
            parquet_bytes(pa.table({"id": pa.array([b"\xffsecret"]).view(pa.string())})),
            "ids are no text",
        ),
    ],
)
def test_what_no_run_writes_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadPart, match=words) as refused:
        table_of(data, PATH)
    assert "secret" not in str(refused.value)
    assert PATH in str(refused.value)


def test_an_errors_part_has_the_columns_of_one(tmp_path: Path) -> None:
    storage, path = Storage(str(tmp_path)), PATH.replace("data", "errors")
    storage.put(path, parquet_bytes(ERRORS_SCHEMA.empty_table()))
    assert read_errors_part(storage, path).num_rows == 0
    storage.put(path, parquet_bytes(ROWS))
    with pytest.raises(BadPart, match="not those of the errors table"):
        read_errors_part(storage, path)


def test_a_value_that_is_none_costs_its_row() -> None:
    text = pa.array([b"good", b"\xff\xfe"]).view(pa.string())
    far = pa.table({"id": ["a", "b"], "text": text})
    assert plain_rows(far) == [{"id": "a", "text": "good"}, None]


def _meant(size: int, rows: int = 600) -> pa.Array:
    """One value that every row means."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["A" * size]))


def _packed(note: pa.Array, name: str = "note", **how: Any) -> bytes:
    sink = io.BytesIO()
    ids = pa.array([str(row) for row in range(len(note))])
    table = pa.table({"id": ids, name: note})
    pq.write_table(table, sink, compression="zstd", **{"store_schema": False, **how})
    return sink.getvalue()


def _listed(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _map() -> pa.Array:
    offsets = pa.array([0, 600], pa.int32())
    return pa.MapArray.from_arrays(offsets, pa.array(map(str, range(600))), _meant(1 << 20))


def _zeros(count: int) -> pa.Array:
    return pa.array(np.zeros(count, np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _packed(_meant(1 << 20)), "would take more"),
        (lambda: _packed(pa.StructArray.from_arrays([_meant(1 << 20)], ["x"])), "would take more"),
        (lambda: _packed(_meant(17 << 20, 2)), "a value of more than"),
        (lambda: _packed(_listed(_meant(1 << 20, 20))), "a value of more than"),
        (lambda: _packed(_map()), "would take more"),
        (lambda: _packed(_listed(_zeros(24 << 20))), "would take more"),
        (lambda: _packed(_listed(_zeros(49 << 20)), "recon_codes"), "columns of codes hold"),
        (
            lambda: _packed(
                pa.array(["A" * 9000] * 3),
                use_dictionary=False,
                column_encoding={"note": "DELTA_BYTE_ARRAY", "id": "PLAIN"},
            ),
            "a way that no run uses",
        ),
    ],
)
def test_kilobytes_that_stand_for_much_are_not_read(make: Callable[[], bytes], words: str) -> None:
    data = make()
    assert len(data) < 64 << 10
    with pytest.raises(BadPart, match=words):
        table_of(data, PATH)
    assert table_of(data, PATH, ["id"]).column_names == ["id"]


def test_what_fits_is_read() -> None:
    for note in (_meant(1 << 20, 100), _listed(_zeros(1000)), _meant(15 << 20, 3)):
        assert table_of(_packed(note), PATH).num_rows == len(note)


def test_what_one_s_own_run_wrote_may_stand_for_as_much_as_its_rows_do() -> None:
    data = _packed(_listed(_zeros(49 << 20)), "recon_codes")
    assert table_of(data, PATH, own=True).num_rows == 1
