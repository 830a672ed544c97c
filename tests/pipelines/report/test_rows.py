"""What is read of rows: bounded, and the same rows each time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.error_rows import ERRORS_SCHEMA
from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from pipelines.report import rows
from pipelines.report.rows import (
    SAMPLES,
    WORST_SAMPLES,
    rank_of,
    read_errors,
    read_rows,
    word_errors,
)
from pipelines.run_state.parts import read_part, table_around


def asr_part(names: list[str], heard: str = "one two") -> pa.Table:
    return pa.table(
        {
            "id": names,
            "text": [heard] * len(names),
            "input_text": ["one two"] * len(names),
            "finish_reason": ["stop"] * len(names),
            "input_duration_s": [1.5] * len(names),
        }
    )


def store_parts(folder: Path, tables: list[pa.Table]) -> tuple[Storage, list[str]]:
    storage = Storage(str(folder))
    paths = [f"data/part-{number:08d}.parquet" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        storage.put(path, parquet_bytes(table))
    return storage, paths


def picked(storage: Storage, facts: rows.RowFacts) -> list[str]:
    return [read_part(storage, pick.part)["id"][pick.row].as_py() for pick in facts.samples]


def test_the_same_rows_are_picked_however_they_are_cut(tmp_path: Path) -> None:
    names = [f"row {n}" for n in range(60)]
    found = []
    for size in (10, 23):
        tables = [asr_part(names[a : a + size]) for a in range(0, 60, size)]
        storage, paths = store_parts(tmp_path / str(size), tables)
        facts = read_rows(storage, paths, "asr")
        assert (facts.read, facts.errors.rate, facts.errors.rows) == (60, 0.0, 60)
        assert facts.finish == {"stop": 60}
        assert list(facts.numbers["input_duration_s"]) == [1.5] * 60
        found.append(picked(storage, facts))
    assert found[0] == found[1]
    assert len(found[0]) == SAMPLES


def test_the_worst_texts_are_shown_too(tmp_path: Path) -> None:
    tables = [asr_part([f"good {n}" for n in range(30)]), asr_part(["bad"], "three four five")]
    storage, paths = store_parts(tmp_path, tables)
    facts = read_rows(storage, paths, "asr")
    assert (facts.errors.wrong, facts.errors.words) == (3, 62)
    assert "bad" in picked(storage, facts)
    assert len(facts.samples) <= SAMPLES + WORST_SAMPLES
    assert read_rows(storage, paths, "tokenize").errors.rate is None  # its text is the input's


def test_of_many_parts_an_even_sample_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_PARTS", 3)
    storage, paths = store_parts(tmp_path, [asr_part([f"{n}"]) for n in range(9)])
    assert rows.evenly_spaced(paths, 3) == [paths[0], paths[3], paths[6]]
    assert read_rows(storage, paths, "asr").read == 3


def test_a_text_without_reference_is_not_judged() -> None:
    assert word_errors(None, "a") is None
    assert word_errors(" ", "a") is None
    assert word_errors("a b c", "a x c d") == (2, 3)
    assert word_errors("a b", "") == (2, 2)


def test_examples_of_errors_are_few_and_short(tmp_path: Path) -> None:
    failed = [
        {"id": f"{n}" * 500, "stage": "load", "kind": kind, "message": "m" * 5000, "attempts": 1,
         "input": "x" * 5000}
        for n in range(20) for kind in ("missing_file", "too_long")
    ]  # fmt: skip
    storage, paths = store_parts(tmp_path, [pa.Table.from_pylist(failed, ERRORS_SCHEMA)])
    found = read_errors(storage, paths)
    assert {kind: len(examples) for kind, examples in found.items()} == {
        "missing_file": 3, "too_long": 3,
    }  # fmt: skip
    example = found["too_long"][0]
    assert len(example.row_id) + len(example.message) + len(example.input) < 1000


def test_of_many_rows_an_even_sample_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some groups of a merged part; what is picked is found again by its number in the part."""
    monkeypatch.setattr(rows, "MOST_ROWS", 5000)
    storage, path = Storage(str(tmp_path)), "data/part-90000000-aaaaaaaa.parquet"
    ids = [f"r{number}" for number in range(20_000)]
    storage.put(path, parquet_bytes(pa.table({"id": ids, "text": ["x"] * len(ids)})))
    facts = read_rows(storage, [path], "text_only", rows=len(ids))
    assert facts.read == 4096 + 20_000 - 4 * 4096  # the first and the last of five groups
    for pick in facts.samples:
        table, place = table_around(storage.read(path), path, pick.row)
        assert table["id"][place].as_py() == ids[pick.row]
        assert pick.rank == rank_of(ids[pick.row])
