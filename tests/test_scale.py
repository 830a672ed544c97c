"""docs/scale.md multiplies what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.record import RESULTS
from tests.support.documents import sections, table_rows

ROOT = Path(__file__).parents[1]
PAGE = sections(ROOT / "docs/scale.md")
MEASURED = {
    name.strip("`"): (float(value.replace(",", "")), command.strip("`"))
    for name, value, command in table_rows(PAGE["What was measured"])
}


def test_every_figure_is_one_that_a_benchmark_recorded() -> None:
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    for name, (value, command) in MEASURED.items():
        found = [
            line["figures"][name]
            for line in lines
            if name in line["figures"] and line["command"] == command
        ]
        assert any(value == pytest.approx(figure, rel=1e-3) for figure in found), name


def test_the_model_is_computed_from_them() -> None:
    assert MEASURED.keys() == {*scale.TAKEN, *scale.measure_records(), *PARTS}
    figures = {name: value for name, (value, _) in MEASURED.items()}
    assert table_rows(PAGE["What follows"]) == scale.model_table(figures)


PARTS = {"scale.part_bytes_per_audio_s", "scale.merge_mb_per_core_s"}


def test_bytes_of_records_are_what_this_build_writes() -> None:
    for name, value in scale.measure_records().items():
        assert MEASURED[name][0] == pytest.approx(value, rel=1e-3), name
