"""Objects whose keys are data stay text, come out as they went in, and cost no more than that."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.manifest.formats.text_formats import parse_jsonl
from pipelines.manifest.tables.row_tables import table_of_dicts
from pipelines.manifest.tables.scan import Scan
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task


def parsed(values: list[Any]) -> pa.ChunkedArray:
    rows = [{"id": str(n), "text": "t", "x": value} for n, value in enumerate(values)]
    table = parse_jsonl("\n".join(map(json.dumps, rows)).encode())
    assert table_of_dicts(rows)["x"].type == table["x"].type
    return table["x"]


DATA: dict[str, list[Any]] = {
    "a key a row": [{f"spk_{n}": 0.5} for n in range(8)],
    "some keys of many": [{f"spk_{n % 40}": n} for n in range(400)],
    "beside a field": [{"total": n, f"spk_{n}": n} for n in range(200)],
    "inside": [{"speakers": {f"spk_{n}": {"share": n}}} for n in range(20)],
    "in a list": [{"turns": [{f"spk_{n}": [n]}, {f"spk_{n + 1}": [n]}]} for n in range(20)],
    "late": [{"a": 1}] * 3000 + [{f"spk_{n}": n} for n in range(3000)],
    "too many for a table": [{f"k{n}": n for n in range(1001)}] * 2,
}


@pytest.mark.parametrize("kind", list(DATA))
def test_values_come_out_as_they_went_in(kind: str) -> None:
    values = [*DATA[kind], None]
    column = parsed(values)
    assert column.type == pa.string()
    found = [None if text is None else json.loads(text) for text in column.to_pylist()]
    assert found == values


FIELDS: dict[str, list[Any]] = {
    "fields": [{"a": n, "b": {"c": [n]}} for n in range(50)],
    "some are absent": [{"a": n} if n % 2 else {"b": n, "c": 1} for n in range(50)],
    "one of a few": [{f"kind_{n % 7}": n} for n in range(70)],
    "many": [{f"mfcc_{k}": float(n) for k in range(200)} for n in range(5)],
    "in a list": [[{"word": "w", "start_s": 0.5}] * n for n in range(30)],
    "few rows": [{"a": 1}, {"b": 1}, {"c": 2}],
}


@pytest.mark.parametrize("kind", list(FIELDS))
def test_names_of_fields_stay_a_struct(kind: str) -> None:
    assert parsed(FIELDS[kind]).type == pa.array(FIELDS[kind]).type


def test_which_columns_stay_text_is_said() -> None:
    scan = Scan()
    rows = [{"id": str(n), "scores": {f"s{n}": 1}, "y": {"a": 1}} for n in range(9)]
    parse_jsonl("\n".join(map(json.dumps, rows)).encode(), scan)
    assert scan.noticed.notes() == (
        "columns whose objects have ever other keys stay text (JSON): scores",
    )


def test_twelve_thousand_rows_are_planned_at_once(tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = [
        {"id": str(n), "text": "t", "x": {f"spk_{n}": draw.random(), f"spk_{n + 1}": None}}
        for n in range(12_000)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    begun_s = time.process_time()
    begun = pa.total_allocated_bytes()
    plan = make_plan(str(tmp_path / "m.jsonl"), get_task("tts"))
    assert time.process_time() - begun_s < 10  # 0.4 s on one core; never when it was a struct
    assert pa.total_allocated_bytes() - begun < 50_000_000
    last = plan.units[-1].read().to_pylist()[-1]
    assert json.loads(last["x"]) == rows[-1]["x"]
