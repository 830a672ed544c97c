"""Rows of files by other names, with ids of their own."""

from __future__ import annotations

import json

import pyarrow as pa

from actors.columnar.column_names import ColumnNames
from actors.columnar.value_bounds import MAX_CODES_BYTES, TOO_LARGE

TABLE = pa.table({"id": [7, 7], "path": ["a.wav", "b.wav"], "sentence": ["x", "y"]})


def test_columns_are_renamed_and_nothing_else() -> None:
    names = ColumnNames({"path": "audio"})
    assert names.table(TABLE).column_names == ["id", "audio", "sentence"]
    assert names.own(["audio", "id"]) == ["path", "id"]
    assert names.own(None) is None
    assert ColumnNames.of_text(names.text) == names
    assert ColumnNames().text == "" and ColumnNames.of_text("") == ColumnNames()
    assert not names.hashes_rows


def test_ids_of_a_column_stand_beside_it() -> None:
    names = ColumnNames({"path": "audio", "id": "input_id"}, ids_from="path")
    found = names.table(TABLE)
    assert found["id"].to_pylist() == found["audio"].to_pylist() == ["a.wav", "b.wav"]
    assert found["input_id"].to_pylist() == [7, 7]
    assert names.own(["id"]) == ["path"] and names.own(["input_id"]) == ["id"]
    assert names.schema(TABLE.schema) == found.schema


def test_ids_of_places_are_counted_from_the_first_row_that_is_read() -> None:
    names = ColumnNames({"id": "input_id"}, place="a/b.parquet")
    assert names.table(TABLE, 40)["id"].to_pylist() == ["a/b.parquet:40", "a/b.parquet:41"]
    assert names.own(["id"]) == []


def test_rows_are_hashed_where_their_ids_are_set_aside() -> None:
    assert ColumnNames({"id": "input_id"}).hashes_rows


def test_a_sound_that_is_held_gives_its_path() -> None:
    sounds = pa.table({"audio": [{"bytes": b"1", "path": "a.wav"}]})
    assert ColumnNames(ids_from="audio").table(sounds)["id"].to_pylist() == ["a.wav"]


def test_limits_and_notes_go_by_the_names_of_who_reads_them() -> None:
    names = ColumnNames({"wav": "audio", "tokens": "recon_codes"})
    limits = names.own_limits({"audio": 5})
    assert limits is not None
    assert limits["wav"] == 5 and limits["tokens"] == MAX_CODES_BYTES
    note = json.dumps({"wav": [9, "x"], "other": [8, "y"]})
    found = names.table(pa.table({"wav": [None, "b"], TOO_LARGE: [note, None]}))
    assert json.loads(found[TOO_LARGE][0].as_py()) == {"audio": [9, "x"], "other": [8, "y"]}
    assert found[TOO_LARGE][1].as_py() is None
