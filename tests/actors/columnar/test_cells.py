"""Cells that Python cannot hold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from actors.columnar.cells import plain_value, shown_rows, shown_value, valid_column
from uniaudio2.errors import BadRow

BROKEN = pa.array([b"a\xff", b"b", None], pa.binary()).view(pa.string())


def test_a_cell_that_cannot_be_read_is_typed() -> None:
    with pytest.raises(BadRow, match="string cannot be read: its text is not valid") as caught:
        plain_value(BROKEN[0])
    assert "0xff" not in caught.value.message  # nothing of what is there
    assert shown_value(BROKEN[0]) == "a\\xff"
    assert shown_value(pa.array([2**62], pa.timestamp("s"))[0]) == "<unreadable timestamp[s]>"


def test_rows_show_what_they_can() -> None:
    rows = shown_rows(pa.table({"text": BROKEN, "n": [1, 2, 3]}))
    assert [row["text"] for row in rows] == ["a\\xff", "b", None]


def test_columns_become_valid_and_keep_their_type() -> None:
    fixed = valid_column(pa.chunked_array([BROKEN]))
    assert fixed.to_pylist() == ["a\\xff", "b", None]
    nested = pa.chunked_array([pa.StructArray.from_arrays([BROKEN], ["t"])])
    assert valid_column(nested).to_pylist() == [None, {"t": "b"}, {"t": None}]
    good = pa.chunked_array([pa.array(["ä"])])
    assert valid_column(good) is good
