"""Columns of a manifest in several files: one type for all, whatever one file's values tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.planning.plan import Plan, make_plan
from uniaudio2.tasks.table import get_task

TTS = get_task("tts")


def planned(folder: Path, shards: list[list[Any]], limit: int | None = None) -> Plan:
    """A plan of a folder of files whose rows hold some values in a column ``x``."""
    for number, values in enumerate(shards):
        rows = [
            {"id": f"{number}-{place}", "text": "t", "x": value}
            for place, value in enumerate(values)
        ]
        (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = make_plan(str(folder), TTS, limit=limit)
    assert make_plan(f"{folder}/*.jsonl", TTS, limit=limit).schema == plan.schema
    return plan


def values_of(plan: Plan) -> list[Any]:
    return [row["x"] for unit in plan.units for row in unit.read().to_pylist()]


TYPED: dict[str, tuple[list[list[Any]], pa.DataType]] = {
    "empty lists": ([[[]], [["a", "b"], []], [None]], pa.list_(pa.string())),
    "empty lists last": ([[["a"]], [[], []]], pa.list_(pa.string())),
    "empty objects": ([[{}], [{"a": 1}]], pa.struct([("a", pa.int64())])),
    "numbers": ([[1], [0.5]], pa.float64()),
    "objects in lists": (
        [[[{"a": []}]], [[{"a": [1]}]]],
        pa.list_(pa.struct([("a", pa.list_(pa.int64()))])),
    ),
}


@pytest.mark.parametrize("kind", list(TYPED))
def test_a_file_whose_values_tell_nothing_takes_the_type_of_the_others(
    kind: str, tmp_path: Path
) -> None:
    shards, wanted = TYPED[kind]
    plan = planned(tmp_path, shards)
    assert plan.schema.field("x").type == wanted
    expected = pa.array([value for values in shards for value in values], wanted).to_pylist()
    assert values_of(plan) == expected


MIXED: dict[str, tuple[list[list[Any]], list[str]]] = {
    "text and list": ([[[]], ["a"], [["b"]]], ["[]", "a", '["b"]']),
    "number and text": ([[1, 2], ["x"]], ["1", "2", "x"]),
    "truth and number": ([[True], [1]], ["true", "1"]),
    "mixed in one": ([[{"a": 1}], [{"a": 1}, "x"]], ['{"a": 1}', '{"a": 1}', "x"]),
}


@pytest.mark.parametrize("kind", list(MIXED))
def test_values_of_mixed_kinds_are_text_in_all_files(kind: str, tmp_path: Path) -> None:
    shards, wanted = MIXED[kind]
    plan = planned(tmp_path, shards)
    assert plan.schema.field("x").type == pa.string()
    assert values_of(plan) == wanted


def test_a_limit_gives_the_same_rows(tmp_path: Path) -> None:
    plan = planned(tmp_path, [[[]] * 5, [["a"]] * 5], limit=7)
    assert values_of(plan) == [[]] * 5 + [["a"]] * 2


def test_notes_are_given_once(tmp_path: Path) -> None:
    for number, tags in enumerate(([], ["v"])):
        rows = [{"id": str(number), "text": "t", "x": tags}]
        (tmp_path / f"{number}.json").write_text(json.dumps(rows))
    plan = make_plan(f"{tmp_path}/*.json", TTS)
    assert len(plan.notes) == 2  # one of each file
    assert values_of(plan) == [[], ["v"]]
