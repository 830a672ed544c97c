"""The table of scorers: whole, and readable before anything large is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from uniaudio2.scores.spec import PREFIX
from uniaudio2.scores.table import DEFAULT, SCORERS, get_scorers, score_columns


def test_rows_are_whole() -> None:
    columns = score_columns(list(SCORERS))
    assert len(set(columns)) == len(columns)
    for name, scorer in SCORERS.items():
        assert scorer.inputs, name
        assert all(column.name.startswith(PREFIX) for column in scorer.columns)
        assert all(column.unit and column.meaning for column in scorer.columns)
        assert scorer.summary and scorer.licence and scorer.cost and scorer.version
        assert scorer.weights is None or scorer.weights in scorer.packages
        assert scorer.missing == []
        assert callable(scorer.make())
    assert "dnsmos" in DEFAULT
    assert "wer" not in DEFAULT
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
