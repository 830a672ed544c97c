"""Text manifests of every kind of damage: a bad line costs one row."""

from __future__ import annotations

import codecs
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.names import FAULT_COLUMN
from actors.batch.unit import row_ids
from actors.columnar.value_bounds import MAX_VALUE_BYTES, TOO_LARGE, too_large_message
from pipelines.manifest.formats.text_formats import (
    PARSERS,
    parse_jsonl,
    parse_lines,
    table_of_files,
)
from pipelines.manifest.tables import packing, text_lines
from pipelines.manifest.tables.packing import BLOCK_BYTES
from pipelines.manifest.tables.row_tables import MAX_COLUMNS
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import TextFile


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
    data = f"id,text\na,one\nb,one,two\nc,{long}\nd,{{}}\n".encode() + b"e,caf\xe9\nf,s\xc3\xaex\n"
    rows = PARSERS[".csv"](data).to_pylist()
    assert [row["id"] for row in rows] == ["a", "line-3", "line-4", "d", "line-6", "f"]
    assert "quote them" in rows[1][FAULT_COLUMN]
    assert rows[5]["text"] == "sîx"


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


def test_a_wide_header_is_refused_before_any_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.manifest.formats.delimited._delimited_rows",
        lambda *_: pytest.fail("rows were read"),
    )
    header = ",".join(f"c{n}" for n in range(100_000))
    with pytest.raises(ValueError, match="100000 different columns; at most 1000"):
        PARSERS[".csv"](f"{header}\n{'a' * 10}\n".encode())


def test_short_rows_of_many_columns_end_the_look() -> None:
    """A limit is met after some cells, though these are few characters."""
    header = ",".join(f"c{n}" for n in range(999))
    data = (header + "\n" + "a\n" * 5000).encode()
    table = PARSERS[".csv"](data, Scan(1, cells=300_000))
    assert 300 <= table.num_rows < 600
    assert PARSERS[".csv"](data, Scan(700, cells=300_000)).num_rows >= 700
    asked = Scan(1, cells=300_000)
    PARSERS[".csv"](data, asked)
    assert asked.suffices(0, 0)  # so that the next file is not looked at


def test_keys_that_few_rows_share_take_little_memory() -> None:
    """Rows are taken in few enough at a time that the keys they lack need no room."""
    rows = [{"text": f"a{n}", f"k{n % 997}": n} for n in range(3000)]
    begun = pa.total_allocated_bytes()
    table = parse_jsonl("\n".join(map(json.dumps, rows)).encode())
    assert pa.total_allocated_bytes() - begun < 14_000_000  # 24 MB if all were stored
    names = table.column_names
    assert table.to_pylist() == [{name: row.get(name) for name in names} for row in rows]


def test_file_names_that_are_not_utf8() -> None:
    rows = table_of_files(["a.wav", "\udcff.wav", "\udcfe.wav"]).to_pylist()
    assert [row["id"] for row in rows] == ["a.wav", "\\udcff.wav", "\\udcfe.wav"]
    assert [bool(row[FAULT_COLUMN]) for row in rows] == [False, True, True]


def test_columns_are_the_same_wherever_kinds_begin_to_differ() -> None:
    """Types of a column follow from all rows, though rows are taken in a few thousand at a time."""
    rows: list[dict[str, Any]] = [
        {
            "id": str(n),
            "late": None if n < 5000 else "z",
            "float": n if n < 5000 else n + 0.5,
            "huge": 2**60 + 1 if n < 5000 else 0.5,
            "mixed": {"a": n, "b": [n]} if n < 5000 else {"a": "x"},
            "struct": {"a": n} if n < 5000 else {"b": [0.5]},
            "list": [] if n < 5000 else [n],
            "empty": {},
        }
        for n in range(5500)
    ]
    table = parse_jsonl("\n".join(map(json.dumps, rows)).encode())
    texts = {"huge", "mixed", "empty"}
    for name in rows[0]:
        values = [row[name] for row in rows]
        wanted = pa.array([json.dumps(v) for v in values] if name in texts else values)
        assert table[name].type == wanted.type, name
        assert table[name].to_pylist() == wanted.to_pylist()
    assert json.loads(table["mixed"][0].as_py()) == {"a": 0, "b": [0]}


def test_failed_lines_have_ids_wherever_the_first_id_stands() -> None:
    lines = ["broken", *['{"text": "a"}'] * 3000, '{"id": 7}', "broken"]
    table = parse_jsonl("\n".join(lines).encode())
    ids = table["id"].to_pylist()
    assert (ids[0], ids[1], ids[-2:]) == ("line-1", None, ["7", "line-3003"])
    assert table.column_names == ["id", FAULT_COLUMN, "text"]


@pytest.mark.parametrize("at", [-2, -1, 0, 1])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_that_end_where_a_block_ends(end: str, at: int) -> None:
    first = "ä" * ((BLOCK_BYTES + at) // 2 - len(end)) + "x" * (at % 2)
    text = f"{first}{end}{end}{first}{end}last"
    rows = parse_lines(text.encode()).drop_columns(["id"]).to_pylist()
    wanted = [{"line": 1, "text": first}, {"line": 3, "text": first}, {"line": 4, "text": "last"}]
    assert rows == wanted


@given(st.text(alphabet='a\r\n,"\u2028é', max_size=60), st.integers(1, 9))
@settings(deadline=None, max_examples=200)
def test_blocks_of_any_size_give_the_same_lines(text: str, size: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCK_BYTES", size)
        found = list(TextFile.of(data).lines())
    assert found == list(io.StringIO(text, newline=""))


@pytest.mark.parametrize("suffix", [".jsonl", ".txt", ".csv"])
def test_a_line_without_an_end_costs_its_row(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "MAX_LINE_CHARACTERS", 400_000)
    monkeypatch.setattr("pipelines.manifest.formats.cells.MAX_CELLS_CHARACTERS", 400_000)
    good = {".jsonl": '{"text": "good"}', ".txt": "good", ".csv": "good"}[suffix]
    head = "text\n" if suffix == ".csv" else ""
    long = ", " * 500_000
    table = PARSERS[suffix](f"{head}{good}\n{long}\n{good}\n".encode())
    assert table["text"].to_pylist() == ["good", None, "good"]
    fault = table[FAULT_COLUMN].to_pylist()[1]
    number = 3 if suffix == ".csv" else 2
    assert fault.startswith(f"line {number}: ")
    assert len(fault) < 200
    if suffix != ".csv":
        assert "a line of 1000001 characters" in fault


def test_a_row_of_many_quoted_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.manifest.formats.cells.MAX_CELLS_CHARACTERS", 10_000)
    data = "text\ngood\n" + '"a\n",' * 4000
    rows = PARSERS[".csv"](data.encode()).to_pylist()
    assert rows[0]["text"] == "good"
    assert "field larger than field limit" in rows[1][FAULT_COLUMN]


def test_a_value_that_is_too_large_is_known_by_size_and_hash() -> None:
    large = "x" * (MAX_VALUE_BYTES + 1)
    lines = [json.dumps({"id": "a", "text": "t", "extra": large}), '{"id": "b", "extra": "e"}']
    table = parse_jsonl("\n".join(lines).encode())
    assert table["extra"].to_pylist() == [None, "e"]
    message = too_large_message(table[TOO_LARGE][0].as_py())
    assert message is not None
    assert f"column 'extra': a value of {len(large)} bytes" in message
    assert table[TOO_LARGE].to_pylist()[1] is None
    assert table.nbytes < 10_000


@pytest.mark.parametrize("bad", ["1.5", '["SECRET"]'])
def test_what_is_wrong_with_a_line_is_said_without_its_contents(bad: str) -> None:
    lines = [
        f'{{"id": {bad}}}',
        '{"type": "SECRET", "sources": [{"type": "SECRET"}], "sampling_rate": 1}',
        '{"id": "c", "sources": [{"type": "SECRET"}], "sampling_rate": 1}',
        '{"type": "MonoCut", "id": "d", "start": "SECRET", "recording": '
        '{"id": "r", "sources": [{"type": "file", "source": "x"}], "sampling_rate": 1}}',
        "SECRET",
    ]
    faults = parse_jsonl("\n".join(lines).encode())[FAULT_COLUMN].to_pylist()
    assert all(faults)
    assert not any("SECRET" in fault or "1.5" in fault for fault in faults)
    assert "float" in faults[0] or "list" in faults[0]


def test_lines_are_numbered_after_any_number_of_empty_ones() -> None:
    empty = 3 * BLOCK_BYTES + 5
    rows = parse_lines(b"a" + b"\n" * empty + b"b\r\n\nc").drop_columns(["id"]).to_pylist()
    assert rows == [
        {"line": 1, "text": "a"},
        {"line": empty + 1, "text": "b"},
        {"line": empty + 3, "text": "c"},
    ]
