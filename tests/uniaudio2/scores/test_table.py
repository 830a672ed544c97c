"""The table of scorers: whole, and readable before anything large is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import sections, table_rows
from uniaudio2.scores.spec import PREFIX
from uniaudio2.scores.table import ALL, DEFAULT, SCORERS, compares, get_scorers, score_columns

BY_ITSELF = {"resemblyzer"}  # no extra can bring it


def test_rows_are_whole() -> None:
    columns = score_columns(list(SCORERS))
    assert len(set(columns)) == len(columns)
    for name, scorer in SCORERS.items():
        assert scorer.inputs, name
        assert all(column.name.startswith(PREFIX) for column in scorer.columns)
        assert all(column.unit and column.meaning for column in scorer.columns)
        assert scorer.summary and scorer.licence and scorer.cost and scorer.version
        assert scorer.weights is None or scorer.weights in scorer.packages
        assert set(scorer.missing) <= BY_ITSELF
        assert scorer.missing or callable(scorer.make())
    assert "dnsmos" in DEFAULT
    assert "wer" not in DEFAULT
    assert {*ALL} == SCORERS.keys() - {"speaker_similarity", "logprob"}
    assert compares(["wer", "speaker_similarity"])
    assert not compares(ALL)
    assert "speechmos 0" in SCORERS["dnsmos"].identity


def test_an_unknown_scorer_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'dnsmos'"):
        get_scorers(["speech", "dnmos"])
    names = [scorer.name for scorer in get_scorers(["snr", "speech", "snr"])]
    assert names == ["speech", "snr"]


def test_the_table_is_read_before_torch_is_there() -> None:
    asked = "import sys, uniaudio2.scores.table; print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_page_tells_the_table() -> None:
    """docs/scores.md has every scorer and column, with what the table says of them."""
    page = sections(Path(__file__).parents[3] / "docs/scores.md")

    def told(title: str) -> list[list[str]]:
        return [[cell.replace("`", "") for cell in row] for row in table_rows(page[title])]

    facts = [
        [
            one.name, one.summary, ", ".join(one.inputs), ", ".join(one.packages),
            f"{one.version}, {one.licence}", one.cost,
        ]
        for one in SCORERS.values()
    ]  # fmt: skip
    columns = [
        [column.name, one.name, column.unit, column.meaning]
        for one in SCORERS.values()
        for column in one.columns
    ]
    assert told("The scorers") == [[cell.replace("`", "") for cell in row] for row in facts]
    assert told("Their columns") == columns
