"""Scorers of other packages: found by their entry points, imported when they are asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.config.make_job import make_job
from uniaudio2.scores.table import get_scorers

_MODULE = """
from uniaudio2.scores.spec import Absent, ScoreColumn, Scorer

def make():
    def score(heard):
        if heard.duration_s < 1.5:
            raise Absent("shorter than 1.5 s")
        return {"score_loudest": float(heard.sound.abs().max())}
    return score

def named(name, column="score_loudest", inputs=("sound",)):
    columns = (ScoreColumn(column, "1", "the loudest sample"),)
    return Scorer(name, "own", inputs, columns, "7", "MIT", "nothing", make)

loudest = named("loudest")
twin = named("twin")
other_name = named("x")
bad_column = named("bad_column", "loudest")
taken = named("taken", "score_snr_db")
bad_input = named("bad_input", inputs=("smell",))
"""
_NAMES = ("loudest", "twin", "other_name", "bad_column", "taken", "bad_input", "absent")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that brings scorers."""
    facts = tmp_path / "own_scorers-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: own-scorers\nVersion: 1.0\n")
    points = "".join(f"{name} = own_scorers:{name}\n" for name in _NAMES)
    (facts / "entry_points.txt").write_text(f"[uniaudio2.scorers]\n{points}")
    (tmp_path / "own_scorers.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("own_scorers", None)


@pytest.mark.usefixtures("package")
def test_a_run_takes_a_scorer_of_another_package(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = {"task": "score", "input": str(EXAMPLES / "speech.jsonl"), "output": str(out)}
    job = make_job({**given, "executor": "inline"}, sets=("score.scorers=loudest,silence",))
    assert "own_scorers" in sys.modules
    run_job(job)
    rows = {row["id"]: row for row in read_results(str(out))}
    assert 0.5 < rows["speech-1"]["score_loudest"] < 1
    reason = {"score": "score_loudest", "reason": "shorter than 1.5 s"}
    assert rows["speech-5"]["score_reasons"] == [reason]
    assert rows["speech-5"]["score_trailing_silence_s"] is not None
    recorded = json.loads((out / "run.json").read_text())["job"]["scorers"]
    assert recorded == ["silence 1", "loudest 7"]


@pytest.mark.usefixtures("package")
def test_others_are_not_imported() -> None:
    get_scorers(["silence"])
    with pytest.raises(ValueError, match="did you mean 'loudest'"):
        get_scorers(["loudes"])
    assert "own_scorers" not in sys.modules


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["absent"], "cannot be imported from own_scorers:absent: AttributeError"),
        (["other_name"], "is no scorer of name 'other_name'"),
        (["bad_column"], "fills loudest; its columns begin with score_"),
        (["taken"], "fills score_snr_db"),
        (["bad_input"], "wants 'smell'; inputs are sound, text"),
        (["loudest", "twin"], "'loudest' and 'twin' both fill score_loudest"),
    ],
)
def test_what_is_no_scorer_is_told(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_scorers(names)
    given = {"task": "score", "input": "in", "output": "out"}
    with pytest.raises(UsageError, match=message):
        make_job(given, sets=(f"score.scorers=[{','.join(names)}]",))
