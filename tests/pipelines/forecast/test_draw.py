from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.forecast.draw import MOST_UNITS, draw, places, probe_units
from pipelines.planning.plan import make_plan
from uniaudio2.tasks.table import get_task


def test_a_place_in_each_stretch_and_the_same_every_time() -> None:
    chosen = places(1000, 64)
    assert chosen == places(1000, 64)
    assert all(n * 1000 // 64 <= place < (n + 1) * 1000 // 64 for n, place in enumerate(chosen))
    assert len({place % 10 for place in chosen}) == 10  # no pattern of the manifest is met
    assert places(5, 64) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "unit_rows", "units"), [(64, 32, 4), (64, 8, 8), (3, 32, 3), (4096, 8, MOST_UNITS)]
)
def test_units_of_a_probe(rows: int, unit_rows: int, units: int) -> None:
    assert probe_units(rows, unit_rows) == units


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_that_are_drawn_are_read_where_they_lie(tmp_path: Path, kind: str) -> None:
    rows = [{"id": f"r{n}", "text": f"word {n}", "duration": 1.0 + n} for n in range(100)]
    path = tmp_path / f"in.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    plan = make_plan(str(path), get_task("tts"), unit_rows=16)
    drawn = draw(plan.units, 24, warm_rows=2, workers=2, told=True)
    assert [unit.row_count for unit in drawn.warm_up] == [2, 2]
    assert sum(unit.row_count for unit in drawn.units) == 24
    assert len({unit.unit for unit in (*drawn.warm_up, *drawn.units)}) == 2 + len(drawn.units)
    units = (*drawn.warm_up, *drawn.units)
    read = {unit.unit: [m.read().to_pylist()[0] for m in unit.singles] for unit in units}
    tried = [row for unit in drawn.units for row in read[unit.unit]]
    found = sorted(int(row["id"][1:]) for row in tried)
    assert found == places(100, 24)
    assert drawn.row_s == pytest.approx(50.5)
    told = {unit: sum(row["duration"] for row in some) for unit, some in read.items()}
    assert drawn.told_s == pytest.approx(told)


def test_lengths_that_some_rows_lack_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "text": "a", "duration": 2}\n{"id": "b", "text": "b"}\n')
    plan = make_plan(str(path), get_task("tts"))
    drawn = draw(plan.units, 2, warm_rows=1, told=True)
    assert drawn.row_s == 0.0
    assert drawn.told_s == {}
