"""Text manifests of every kind of damage: a bad line costs one row."""

from __future__ import annotations

import codecs
import json

import pytest

from actors.load import FAULT_COLUMN
from actors.unit import row_ids
from pipelines.row_tables import MAX_COLUMNS
from pipelines.rows import PARSERS, parse_jsonl, parse_lines, table_of_files


def test_only_line_ends_end_lines() -> None:
    text = "a\u2028b\x85c\x0bd"
    data = json.dumps({"text": text}, ensure_ascii=False).encode() + b"\r\n"
    assert parse_jsonl(data).to_pylist() == [{"text": text}]
    assert parse_lines(f"{text}\r\nx\ry".encode())["text"].to_pylist() == [text, "x", "y"]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_byte_order_marks(mark: str) -> None:
    start = codecs.BOM_UTF16_BE if mark == "utf-16-be" else b""
    data = start + '{"id": "a", "text": "ä"}\n'.encode(mark)
    assert parse_jsonl(data).to_pylist() == [{"id": "a", "text": "ä"}]


def test_a_broken_line_leaves_rows_without_ids_alone() -> None:
    table = parse_jsonl(b'{"text": "a"}\nbroken\nbroken\n{"text": "b"}\n')
    ids = row_ids(table)
    assert None not in ids
    assert len(set(ids)) == 4
    assert [bool(fault) for fault in table[FAULT_COLUMN].to_pylist()] == [False, True, True, False]


@pytest.mark.parametrize("bad", ["1.5", "true", "[1]", '{"a": 1}', "NaN"])
def test_an_id_of_a_wrong_kind_costs_its_row(bad: str) -> None:
    lines = f'{{"id": 1, "text": "a"}}\n{{"id": {bad}, "text": "b"}}\n{{"id": "x", "text": "c"}}'
    table = parse_jsonl(lines.encode())
    assert table["id"].to_pylist() == ["1", "line-2", "x"]
    assert "whole number" in table[FAULT_COLUMN].to_pylist()[1]


def test_ids_keep_every_digit() -> None:
    big = 2**70 + 1
    assert parse_jsonl(f'{{"id": {big}}}\n{{"id": 7}}'.encode())["id"].to_pylist() == [
        str(big),
        "7",
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "caf\xe9"}',
        b'{"text": "\\ud83d"}',
        b'{"a": [{"b": "\\udfff"}]}',
        b'{"\\ud800": 1}',
    ],
)
def test_text_that_is_not_unicode_costs_its_row(line: bytes) -> None:
    table = parse_jsonl(b'{"text": "good"}\n' + line)
    assert table["text"].to_pylist() == ["good", None]
    assert "UTF-8" in table[FAULT_COLUMN].to_pylist()[1]


def test_csv_lines_that_do_not_fit_cost_one_row() -> None:
    long = "x" * 200_000  # beyond the csv module's limit of a field
    data = f"id,text\na,one\nb,one,two\nc,{long}\nd,{{}}\n".encode() + b"e,caf\xe9\nf,six\n"
    rows = PARSERS[".csv"](data).to_pylist()
    assert [row["id"] for row in rows] == ["a", "line-3", "line-4", "d", "line-6", "f"]
    assert "quote them" in rows[1][FAULT_COLUMN]
    assert rows[5]["text"] == "six"


@pytest.mark.parametrize("header", ["id,id", "x" * 200_000])
def test_csv_headers_that_are_none(header: str) -> None:
    with pytest.raises(ValueError, match="header"):
        PARSERS[".csv"](f"{header}\n1,2\n".encode())


def test_values_that_no_file_can_hold_become_text() -> None:
    deep = "[" * 40 + "]" * 40
    rows = parse_jsonl(
        f'{{"a": {{}}, "b": [{{}}], "c": {deep}, "d": {2**80}}}'.encode()
    ).to_pylist()
    assert rows == [{"a": "{}", "b": "[{}]", "c": deep, "d": str(2**80)}]


def test_a_key_for_every_row_is_refused() -> None:
    lines = "\n".join(f'{{"k{n}": 1}}' for n in range(MAX_COLUMNS + 1))
    with pytest.raises(ValueError, match=f"{MAX_COLUMNS + 1} different columns"):
        parse_jsonl(lines.encode())


def test_file_names_that_are_not_utf8() -> None:
    rows = table_of_files(["a.wav", "\udcff.wav", "\udcfe.wav"]).to_pylist()
    assert [row["id"] for row in rows] == ["a.wav", "\\udcff.wav", "\\udcfe.wav"]
    assert [bool(row[FAULT_COLUMN]) for row in rows] == [False, True, True]
