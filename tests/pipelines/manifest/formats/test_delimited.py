"""Tables as people write them: no line is lost in another, and what was found is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.batch.names import FAULT_COLUMN
from pipelines.config.make_job import make_job
from pipelines.errors import UsageError
from pipelines.manifest.tables.packing import BLOCK_BYTES
from pipelines.planning.plan import Plan, make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task

TTS = get_task("tts")


@pytest.fixture
def planned(tmp_path: Path) -> Any:
    """The rows and the notes of a table that holds what is given."""

    def plan(name: str, data: str | bytes, *sets: str) -> tuple[list[dict[str, Any]], str]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        given = {"task": "tts", "input": str(path), "output": str(tmp_path / "out")}
        job = make_job(given, sets=sets)
        plan = make_plan(job.input, TTS, manifest=job.manifest)
        return rows_of(plan), "\n".join(plan.notes)

    return plan


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    names = passthrough_schema(plan.schema).names
    tables = [unit.read() for unit in plan.units]
    assert [names for _ in tables] == [
        [name for name in table.column_names if name in names] for table in tables
    ]
    return [row for table in tables for row in table.to_pylist()]


def texts(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["text"] for row in rows]


COMMON_VOICE = "client_id\tpath\tsentence\ttext"
SPOKEN = ["Hallo", '"Nein, sagte er', "Ja", 'Er sagte "gut"', '"So" war es', '"Aha!"', "Ende", "."]


def test_an_unbalanced_quote_of_a_tsv_swallows_no_line(planned: Any) -> None:
    lines = [f"c\ta{n}.mp3\t{text}\t{text}" for n, text in enumerate(SPOKEN)]
    rows, notes = planned("validated.tsv", "\n".join([COMMON_VOICE, *lines]) + "\n")
    assert texts(rows) == SPOKEN
    assert [row["path"] for row in rows] == [f"a{n}.mp3" for n in range(8)]
    assert "'validated.tsv' has quotes that are text, so every line is a row" in notes


def test_common_voice_has_no_quoting_even_where_its_quotes_are_balanced(planned: Any) -> None:
    rows, _ = planned("test.tsv", f'{COMMON_VOICE}\nc\ta.mp3\tx\t"Aha!"\n')
    assert texts(rows) == ['"Aha!"']


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("at", [1, 500, 998])
def test_one_stray_quote_among_a_thousand_rows(planned: Any, end: str, at: int) -> None:
    """Wherever it stands, and whatever stands where it might be closed."""
    for name, delimiter in (("a.tsv", "\t"), ("a.csv", ",")):
        spoken = [f"said {n}" for n in range(1000)]
        spoken[at] = f'"{spoken[at]}'
        spoken[-1] += '"'
        lines = [f"id{delimiter}text", *(f"{n}{delimiter}{text}" for n, text in enumerate(spoken))]
        rows, notes = planned(name, end.join(lines))
        assert texts(rows) == spoken
        assert [row["id"] for row in rows] == [str(n) for n in range(1000)]
        assert "quotes" in notes


def test_a_tsv_whose_quotes_enclose_cells_is_read_by_them(planned: Any) -> None:
    data = 'id\ttext\n1\t"a\tb"\n2\t"say ""no"""\n3\t"two\nlines"\n4\tfive" wide\n'
    rows, notes = planned("a.tsv", data)
    assert texts(rows) == ["a\tb", 'say "no"', "two\nlines", 'five" wide']
    assert "rows that their quotes extend over several lines: 1 (line 5)" in notes


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_ordinary_tables_have_no_notes(planned: Any, name: str) -> None:
    delimiter = {"a.csv": ",", "a.tsv": "\t"}[name]
    rows, notes = planned(name, 'id,text\n1,a\n2,"b"\n\n3,ü\n'.replace(",", delimiter))
    assert rows == [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}, {"id": "3", "text": "ü"}]
    assert notes == ""


def test_cells_of_several_lines_stay_one_and_are_said(planned: Any) -> None:
    data = 'id,text,note\n1,"Hello, you\nGood, bye",x\n2,"a\n\nb"\n3,c,d\n'
    rows, notes = planned("a.csv", data)
    assert texts(rows) == ["Hello, you\nGood, bye", "a\n\nb", "c"]
    assert [row["note"] for row in rows] == ["x", None, "d"]
    assert "over several lines: 2 (line 3, 6)" in notes
    with_none, _ = planned("a.csv", data, "manifest.quote=none")
    assert len(with_none) == 5


def test_two_stray_quotes_do_not_join_the_rows_between_them(planned: Any) -> None:
    rows, notes = planned("a.csv", 'id,text\n1,"Hello\n2,foo\n3,the end"\n4,x\n')
    assert texts(rows) == ['"Hello', "foo", 'the end"', "x"]
    assert "quotes enclose no cell and were read as text: 1 (line 2)" in notes
    given, _ = planned(
        "a.csv", 'id,text\n1,"Hello\n2,foo\n3,the end"\n4,x\n', "manifest.quote='\"'"
    )
    assert texts(given) == ["Hello\n2,foo\n3,the end", "x"]


def test_an_open_quote_costs_at_most_its_own_row(planned: Any) -> None:
    rows, _ = planned("a.csv", 'id,text\n1,"Hello, there\n2,"so" it is\n3,"a, b" c\n4,x\n')
    assert [row["id"] for row in rows] == ["line-2", "2", "3", "4"]
    assert "double a quote that is text" in rows[0][FAULT_COLUMN]
    assert texts(rows)[1:] == ['"so" it is', "a, b c", "x"]


def test_many_open_quotes_cost_no_more_than_reading(planned: Any) -> None:
    lines = ["id,text", *(f'{n},"word {n}' if n % 50 == 0 else f"{n},w" for n in range(20_000))]
    rows, _ = planned("a.csv", "\n".join(lines))
    assert len(rows) == 20_000
    assert texts(rows)[:2] == ['"word 0', "w"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("id;text\n1;a, b\n2;c\n", "semicolons"),
        ("id;text, spoken;text\n1;a, b;a, b\n2;c;c\n3;d, e, f;d\n", "semicolons"),
        ("id|text\n1|a, b\n2|c\n", "bars"),
        ("id\ttext\n1\ta, b\n2\tc\n", "tabs"),
        ("sep=;\nid;text\n1;a, b\n2;c\n", "semicolons"),
        ('"sep=|"\r\nid|text\r\n1|a, b\r\n2|c\r\n', "bars"),
    ],
)
def test_delimiters_are_found_and_said(planned: Any, data: str, found: str) -> None:
    rows, notes = planned("a.csv", data)
    assert [(row["id"], row["text"]) for row in rows][:2] == [("1", "a, b"), ("2", "c")]
    assert f"'a.csv' has {found} between its cells" in notes


def test_what_is_given_holds(planned: Any) -> None:
    for given, sign in ((";", ";"), ("semicolon", ";"), ("|", "|"), ("bar", "|"), (",", ",")):
        data = f"id{sign}text\n1{sign}a\n"
        assert planned("a.tsv", data, f"manifest.delimiter={given}") == (
            [{"id": "1", "text": "a"}],
            "",
        )
    rows, _ = planned("a.csv", "u1;'a;b'\n", "manifest.header=[id, text]", "manifest.quote='",
                      "manifest.delimiter=;")  # fmt: skip
    assert rows == [{"id": "u1", "text": "a;b"}]


def test_the_first_line_of_a_table_without_header_is_a_row(planned: Any) -> None:
    data = "LJ001|Printing, in the only sense with which we are concerned,|x\nLJ002|a, b|y\n"
    with pytest.raises(UsageError, match=r"no header but a row of 3 cells.*manifest\.header=\["):
        planned("metadata.csv", data)
    rows, _ = planned("metadata.csv", data, "manifest.header=[id,raw,text]")
    assert [(row["id"], row["text"]) for row in rows] == [("LJ001", "x"), ("LJ002", "y")]
    named, _ = planned("metadata.csv", "id|raw|text\n" + data, "manifest.header=[id,raw,text]")
    assert named == rows
    with pytest.raises(UsageError, match="the manifest has column_1, column_2, column_3"):
        planned("metadata.csv", data, "manifest.header=no")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_unicode_of_every_width(planned: Any, encoding: str) -> None:
    data = "id\ttext\n1\tGrüße aus Köln, 東京\n2\t😀\n".encode(encoding)
    rows, notes = planned("a.tsv", data)
    assert texts(rows) == ["Grüße aus Köln, 東京", "😀"]
    assert notes == ("" if encoding == "utf-8-sig" else f"'a.tsv' is {encoding.upper()}")


@pytest.mark.parametrize("before", [1, BLOCK_BYTES // 8])
def test_a_table_of_excel_in_western_europe_is_read_whole(planned: Any, before: int) -> None:
    """Also where the first letter that is not ASCII stands far behind the beginning."""
    spoken = ["plain"] * before + ["Grüße, Øre, crème brûlée", "20 € „gut“"]
    lines = ["id;text;größe", *(f"{n};{text};1" for n, text in enumerate(spoken))]
    if before > 1:
        lines[0] = "id;text;size"
    rows, notes = planned("a.csv", "\r\n".join(lines).encode("cp1252"))
    assert texts(rows) == spoken
    assert "semicolons" in notes
    assert "was read as cp1252" in notes


def test_damaged_utf8_is_not_taken_for_another_encoding(planned: Any) -> None:
    rows, notes = planned("a.csv", "id,text\n1,für\n2,schön\n".encode() + b"3,caf\xe9\n")
    assert [FAULT_COLUMN in row and bool(row[FAULT_COLUMN]) for row in rows] == [False, False, True]
    assert "UTF-8" in rows[2][FAULT_COLUMN]
    assert notes == ""


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("gbk", "今天天气很好"), ("cp1251", "Привет мир"), ("shift_jis", "こんにちは")],
)
def test_other_scripts_are_asked_for_and_never_guessed(
    planned: Any, encoding: str, text: str
) -> None:
    data = f"id,text\n1,ascii\n2,{text}\n".encode(encoding)
    rows, notes = planned("a.csv", data)
    assert [row["text"] for row in rows] == ["ascii", None]
    assert "--set manifest.encoding=NAME" in notes
    rows, notes = planned("a.csv", data, f"manifest.encoding={encoding}")
    assert texts(rows) == ["ascii", text]
    assert notes == ""


@pytest.mark.parametrize(
    "setting", ["delimiter=ab", "encoding=klingon", "encoding=rot13", "quote=ab", 'delimiter="\\n"']
)
def test_settings_that_are_none(planned: Any, setting: str) -> None:
    with pytest.raises(UsageError, match=r"give one|not known"):
        planned("a.csv", "id,text\n1,a\n", f"manifest.{setting}")
