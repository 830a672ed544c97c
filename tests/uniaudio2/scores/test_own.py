"""Scorers of other packages, imported when they are asked for, and lines of YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import UsageError, run_job
from pipelines.cli.demo import EXAMPLES, read_results
from pipelines.config.make_job import make_job
from uniaudio2.rules.rule import Rank
from uniaudio2.scores.own import composed_value, parse_scorers
from uniaudio2.scores.spec import Absent
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


ROWS = """
- name: headroom
  value: -peak_dbfs - 3
  unit: dB
  meaning: how far below -3 dBFS its highest sample is
- {name: edges, value: leading_silence_s + trailing_silence_s, version: "2"}
"""


def test_a_run_fills_columns_made_of_others_and_a_rule_reads_them(tmp_path: Path) -> None:
    rows, out = tmp_path / "own.yaml", tmp_path / "out"
    rows.write_text(ROWS)
    given = {"task": "score", "input": str(EXAMPLES / "speech.jsonl"), "output": str(out)}
    sets = (f"score.scorers={rows}", "verify.rule=headroom >= 0 and edges < 9")
    job = make_job({**given, "executor": "inline"}, sets=sets)
    result = run_job(job)
    rows.unlink()  # what it says is in run.json
    assert run_job(make_job({**given, "executor": "inline"}, sets=_again(out))).computed == 0
    found = list(read_results(str(out)))
    assert len(found) == result.counts.ok > 0
    for row in found:
        assert row["score_headroom"] == -row["score_peak_dbfs"] - 3
        edges = row["score_leading_silence_s"] + row["score_trailing_silence_s"]
        assert row["score_edges"] == edges
        assert row["verified"] == (row["score_headroom"] >= 0 and edges < 9)
    recorded = json.loads((out / "run.json").read_text())["job"]["scorers"]
    assert recorded[-2:] == [
        "edges 2: leading_silence_s + trailing_silence_s", "headroom 1: -peak_dbfs - 3",
    ]  # fmt: skip


def _again(out: Path) -> tuple[str, ...]:
    """The same settings, as run.json has them."""
    config = json.loads((out / "run.json").read_text())["config"]
    return (
        f"score.scorers={json.dumps(config['score']['scorers'])}",
        f"verify.rule={config['verify']['rule']}",
    )


def test_scorers_whose_figures_are_read_work_too_and_come_before() -> None:
    names = parse_scorers(ROWS, "own.yaml")
    assert [one.name for one in get_scorers(names)] == ["loudness", "silence", "edges", "headroom"]


def test_a_single_row_is_called_as_its_file() -> None:
    (row,) = parse_scorers("value: wer * 2", "a/b/twice.yml")
    (_, twice) = get_scorers([row])
    assert (twice.name, twice.columns[0].name) == ("twice", "score_twice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {name: a, value: wer +}", "value: "),
        ("- {name: a, value: snr}", "did you mean 'snr_db'"),
        ("- {name: A b, value: wer}", "small letters"),
        ("- {name: wer, value: cer}", "is there already"),
        ("- {name: snr_db, value: cer}", "is there already"),
        ("- {name: a, value: wer < 2}", "'<' is not expected"),
        ("- {name: a, value: wer, call: 'os:system'}", "call"),
        ("- {name: a}", "value"),
        ("[1, 2]", "a list of rows"),
        ("a: [{hidden", "it is no YAML: line 1, column 12"),
        ("- {name: a, value: wer}\n- {name: a, value: cer}", "both fill score_a"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_before_any_cost(
    tmp_path: Path, text: str, told: str
) -> None:
    rows = tmp_path / "own.yaml"
    rows.write_text(text)
    given = {"task": "score", "input": str(EXAMPLES / "speech.jsonl"), "output": "out"}
    with pytest.raises(UsageError, match=told) as fault:
        make_job(given, sets=(f"score.scorers={rows}",))
    assert "\n" not in str(fault.value)
    assert "hidden" not in str(fault.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    given = {"task": "score", "input": str(EXAMPLES / "speech.jsonl"), "output": "out"}
    with pytest.raises(UsageError, match="No such file"):
        make_job(given, sets=(f"score.scorers={tmp_path}/none.yaml",))


def test_a_figure_that_is_absent_is_a_reason() -> None:
    rank = Rank.of("wer * 2 + score_cer")
    found = composed_value(rank, {"score_cer": 1.0}, {"score_wer": "the row has no text"})
    assert isinstance(found, Absent)
    assert found.reason == "score_wer: the row has no text"
    assert composed_value(rank, {"score_cer": 1.0, "score_wer": 0.5}, {}) == 2.0
