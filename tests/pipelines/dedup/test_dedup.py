"""Duplicates of a run's results as a table, which an export leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from pipelines.cli.commands import main
from pipelines.dedup.dedup import DedupResult, dedup_run
from pipelines.errors import UsageError
from tests.pipelines.committed import make_output
from uniaudio2.tokens.codes import Codes


@pytest.fixture
def out(tmp_path: Path) -> str:
    """Tokens of three recordings, of a copy, of most of one, and of nothing."""
    drawn = torch.Generator().manual_seed(2)
    made = {name: torch.randint(0, 4096, (40, 8), generator=drawn) for name in ("a", "b", "c")}
    made["copy-of-a"] = made["a"]
    made["most-of-b"] = torch.cat([made["b"][:34], made["c"][:6]])
    made["nothing"] = torch.zeros(0, 8, dtype=torch.int64)
    rows = [{"id": name, "audio": f"{name}.wav"} for name in made]
    codes = [Codes(one, torch.zeros(0, 8, dtype=torch.int64)) for one in made.values()]
    waves = [torch.zeros(100)] * len(rows)
    return make_output(str(tmp_path / "out"), "tokenize", rows, waves, codes=codes)


def told(path: Path) -> dict[str, tuple[str, str]]:
    return {
        row["id"]: (row["duplicate_of"], row["kind"]) for row in pq.read_table(path).to_pylist()
    }


def test_copies_are_found_and_left_out(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, target = tmp_path / "twice.parquet", tmp_path / "lines"
    assert dedup_run(out, str(table), threshold=0.8) == DedupResult(5, 1, 1, 0)
    assert told(table) == {"copy-of-a": ("a", "exact")}
    words = ["dedup", out, str(table)]
    monkeypatch.setattr("sys.argv", ["uniaudio2", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "5 rows: 1 exact and 1 near duplicates" in said
    assert told(table)["most-of-b"] == ("b", "near")
    words = ["export", out, str(target), "--format", "jsonl", "--without", str(table)]
    monkeypatch.setattr("sys.argv", ["uniaudio2", *words])
    with pytest.raises(SystemExit):
        main()
    assert "4 rows: " in capsys.readouterr().out
    lines = (target / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b", "c", "nothing"]
    assert json.loads((target / "export.json").read_text())["left_out"] == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"target": "twice.csv"}, "end its name in .parquet"),
        ({"threshold": 0.0}, "threshold 0: give a number above 0"),
        ({"recall": 1.0}, "recall 1: give a number above 0 and below 1"),
        ({"codebooks": 9}, "codebooks 9: give a number from 1 to 8"),
        ({"threshold": 0.01}, "too low to be found"),
    ],
)
def test_what_cannot_be_asked_for(
    out: str, tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        dedup_run(out, **{"target": str(tmp_path / "twice.parquet"), **given})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
