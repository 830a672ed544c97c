"""Manifests that are one JSON array, however it is laid out: every object is a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.names import FAULT_COLUMN
from pipelines.errors import UsageError
from pipelines.manifest.formats import text_formats
from pipelines.manifest.formats.json_arrays import is_spread, objects_of, spread_objects
from pipelines.manifest.formats.text_formats import parse_jsonl
from pipelines.manifest.tables import packing, text_lines
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task

ROWS: list[dict[str, Any]] = [
    {
        "audio_filepath": f"a{n}.wav",
        "duration": 1.5 + n,
        "text": f'é "{n}" [],{{}}\n',
        "x": {"y": [n]},
    }
    for n in range(50)
]
LAYOUTS = {
    "lines": "\n".join(map(json.dumps, ROWS)),
    "lines with commas": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "commas in front": "[" + "\n,".join(map(json.dumps, ROWS)) + "]",
    "lines without the ends": ",\n".join(map(json.dumps, ROWS)) + ",\n",
    "first and last line": "[" + ",\n".join(map(json.dumps, ROWS)) + "]\n",
    "one line": json.dumps(ROWS),
    "compact": json.dumps(ROWS, separators=(",", ":"), ensure_ascii=False),
    "indented": json.dumps(ROWS, indent=4),
    "windows": json.dumps(ROWS, indent=2).replace("\n", "\r\n"),
    "objects over lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "never closed": json.dumps(ROWS, indent=1)[:-1],
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_every_object_is_a_row(layout: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_text(LAYOUTS[layout])
    plan = make_plan(str(path), get_task("asr"))
    found = [row for unit in plan.units for row in unit.read().to_pylist()]
    assert found == ROWS
    by_lines = ("lines", "lines without the ends")
    assert ("is JSON that is no line a row" in "".join(plan.notes)) == (layout not in by_lines)


def test_an_array_and_its_lines_are_the_same_rows(tmp_path: Path) -> None:
    """A manifest keeps the ids of its rows and their order when it is written the other way."""
    tables = [parse_jsonl(LAYOUTS[layout].encode()) for layout in ("lines", "indented", "one line")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


@given(st.sampled_from(list(LAYOUTS)), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_blocks_of_any_size_give_the_same_rows(layout: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCK_BYTES", size)
        texts = text_lines.TextFile.of(LAYOUTS[layout].encode()).texts()
        values = [value for _, value in spread_objects(texts)]
    assert values == ROWS


def test_a_broken_object_costs_its_row() -> None:
    lines = json.dumps([{"id": str(n), "text": "t", "in": [{"a": 1}]} for n in range(4)], indent=2)
    data = lines.replace('"id": "1"', '"id": "1')
    rows = parse_jsonl(data.encode()).to_pylist()
    assert [row["id"] for row in rows] == ["0", "line-11", "2", "3"]
    assert FAULT_COLUMN in rows[1]
    last = parse_jsonl(lines.replace('"id": "3"', '"id": 3"').encode()).to_pylist()
    assert [row["id"] for row in last] == ["0", "1", "2", "line-29"]


def test_values_of_an_array_that_are_no_objects_cost_their_rows() -> None:
    rows = parse_jsonl(b'[{"id": "a"}, 5, "b", null, {"id": "c"}]').to_pylist()
    assert [row["id"] for row in rows] == ["a", "line-1", "line-1", "line-1", "c"]
    assert [row[FAULT_COLUMN] for row in rows][1] == "line 1: a int, not an object"


def test_an_array_that_was_cut_costs_its_last_row() -> None:
    data = LAYOUTS["one line"].encode()[:-20]
    rows = parse_jsonl(data).to_pylist()
    assert len(rows) == 50
    assert "the file ends inside of it" in rows[-1][FAULT_COLUMN]


def test_a_broken_object_inside_of_a_line_is_refused(tmp_path: Path) -> None:
    """The rows behind it cannot be told from what is inside of it."""
    path = tmp_path / "m.json"
    path.write_text(LAYOUTS["one line"].replace('"duration": 9.5', '"duration": 9.5.5'))
    with pytest.raises(UsageError, match=r"m\.json: line 1: .*Expecting ',' delimiter.*jq -c"):
        make_plan(str(path), get_task("asr"))


def test_a_long_object_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.manifest.formats.json_arrays.MAX_LINE_CHARACTERS", 400_000)
    rows = [{"id": "a"}, {"id": "b", "x": "y" * 1_000_000}, {"id": "c"}]
    table = parse_jsonl(json.dumps(rows, indent=1).encode())
    assert table["id"].to_pylist() == ["a", "line-5", "c"]
    assert "longer than 400000 characters" in table[FAULT_COLUMN].to_pylist()[1]


def test_an_array_of_lhotse_cuts() -> None:
    recording = {"id": "r", "sampling_rate": 1, "sources": [{"type": "file", "source": "x.wav"}]}
    rows = parse_jsonl(json.dumps([recording, recording | {"id": "s"}]).encode()).to_pylist()
    assert rows == [{"id": "r", "audio": "x.wav"}, {"id": "s", "audio": "x.wav"}]


@pytest.mark.parametrize("start", ["[1]\n", "[\n1", '{"a":1}', "", "[", "{\n}"])
def test_what_is_no_array_of_objects_is_read_by_lines(start: str) -> None:
    assert not is_spread(start)
    assert text_formats.parse_jsonl(start.encode()).num_rows == len(start.split())


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_inside_of_an_object_is_read_bit_by_bit(indent: int | None) -> None:
    text = json.dumps({"version": "1", "rows": ROWS, "end": {"more": [1]}}, indent=indent)
    taken = 0

    def blocks() -> Iterator[str]:
        nonlocal taken
        for start in range(0, len(text), 50):
            taken += 50
            yield text[start : start + 50]

    found = objects_of(blocks(), "rows")
    line, first = next(found)
    assert (line, first) == (1 if indent is None else 4, ROWS[0])
    assert taken < len(text) / 10
    assert [first, *(value for _, value in found)] == ROWS
    with pytest.raises(ValueError, match="begins with no array 'others'"):
        next(objects_of(iter([text]), "others"))
