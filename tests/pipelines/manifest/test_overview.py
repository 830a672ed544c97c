"""A look at an INPUT tells what a run would read, and how well it knows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.names import FAULT_COLUMN
from pipelines.errors import UsageError
from pipelines.manifest.overview import Column, overview_of
from pipelines.manifest.tables.scan import Scan
from tests.conftest import wav_bytes


def rows_of(count: int) -> list[dict[str, Any]]:
    text = "word " * 20
    return [{"id": n, "path": f"c/{n}.wav", "sentence": f"{text}{n}"} for n in range(count)]


def lines_of(count: int) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows_of(count))


def test_columns_and_what_each_is_taken_for(tmp_path: Path) -> None:
    rows = [{**row, "offset": 1.5, "speaker": "s"} for row in rows_of(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = overview_of(str(tmp_path / "a.parquet"))
    assert (found.kinds, found.rows, found.rows_are) == ({"Parquet": 1}, 3, "exact")
    assert found.columns == (
        Column("id", "int64", "the row's id"),
        Column("path", "string", "audio"),
        Column("sentence", "string", "text"),
        Column("offset", "double", "span of the audio"),
        Column("speaker", "string", "travels to the results"),
    )
    assert {"asr", "tts", "tokenize"} <= set(found.tasks)
    assert found.first_row["audio"] == "c/0.wav" and found.first_row["speaker"] == "s"
    assert sum("is taken for it" in note for note in found.notes) == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_lines_of_a_large_text_are_counted_and_its_beginning_is_read(
    tmp_path: Path, name: str
) -> None:
    count = 12_000  # of which a million characters are two thirds
    text = lines_of(count)
    if name.endswith("csv"):
        text = "id,path,sentence\n" + "".join(
            ",".join(map(str, row.values())) + "\n" for row in rows_of(count)
        )
    (tmp_path / name).write_text(text)
    found = overview_of(str(tmp_path / name))
    assert (found.rows, found.rows_are) == (count, "about")
    assert [column.use for column in found.columns] == ["the row's id", "audio", "text"]


def test_what_cannot_be_counted_is_at_least_so_much(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(lines_of(12_000))
    found = overview_of(str(tmp_path / "a.jsonl.gz"))
    assert found.rows_are == "at least" and 1000 <= found.rows < 12_000
    assert found.kinds == {"JSON lines (packed)": 1}


def test_the_beginning_of_every_file_is_looked_at(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text(lines_of(10_000))
    (tmp_path / "notes.md").write_text("x")
    found = overview_of(str(tmp_path))
    assert (found.kinds, found.rows, found.rows_are) == ({"JSON lines": 3}, 30_000, "about")
    assert any("1 .md" in line for line in found.left_out)


def test_a_small_text_is_read_whole_and_faults_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\nbroken\n')
    found = overview_of(str(tmp_path / "a.jsonl"))
    assert (found.rows, found.rows_are, found.faults) == (2, "exact", 1)
    assert FAULT_COLUMN not in [column.name for column in found.columns]


def test_a_folder_of_recordings(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(240)))
    found = overview_of(str(tmp_path))
    assert (found.kinds, found.rows) == ({"folder of audio": 1}, 1)
    assert overview_of(str(tmp_path / "a.wav")).kinds == {"audio file": 1}


def test_columns_that_could_each_be_it_are_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"path": "a.wav", "wav": "b.wav"}\n')
    found = overview_of(str(tmp_path / "a.jsonl"))
    assert any("say which one is: --map audio=path" in note for note in found.notes)
    assert "asr" not in found.tasks
    named = overview_of(str(tmp_path / "a.jsonl"), Scan(names={"audio": "wav"}, ids="place"))
    assert "asr" in named.tasks and named.first_row["id"] == "a.jsonl:0"
    assert Column("wav", "string", "audio") in named.columns


def test_sounds_that_a_file_holds_are_not_read(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "wav": [{"bytes": b"RIFF", "path": "a.wav"}]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = overview_of(str(tmp_path / "a.parquet"))
    assert found.first_row == {"id": "a", "audio": "<not read>"}


def test_an_input_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(UsageError, match="no rows"):
        overview_of(str(tmp_path / "a.jsonl"))
