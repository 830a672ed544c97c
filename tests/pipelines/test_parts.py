"""Parts of anyone: what no run writes is refused without a byte of it in the message."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.error_rows import ERRORS_SCHEMA
from actors.storage import Storage
from actors.write import parquet_bytes
from pipelines.parts import BadPart, plain_rows, read_errors_part, read_part, table_of

PATH = "data/part-00000000-aaaaaaaa.parquet"
ROWS = pa.table({"id": ["a", "b"], "text": ["x", None], "n": [1, 2]})


def test_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put(PATH, parquet_bytes(ROWS))
    assert read_part(storage, PATH).equals(ROWS)
    assert read_part(storage, PATH, ["n", "id", "gone"]).column_names == ["id", "n"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"the secret line", "no whole Parquet"),
        (b"PAR1" + b"secret" * 50 + b"PAR1", "no whole Parquet"),
        (parquet_bytes(ROWS)[:-40] + bytes(32) + b"secretxx", "no whole Parquet"),
        (parquet_bytes(pa.table({"secret": ["a"]})), "no ids"),
        (parquet_bytes(pa.table({"id": [1]})), "no ids"),
        (parquet_bytes(pa.table({"id": ["x"] * 5000})), "claims 5000 rows"),
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
