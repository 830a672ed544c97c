"""Scores of rows: finite or absent with a reason, whatever their neighbours, order and threads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from tests.uniaudio2.scores.clips import as_wave, clip, speech
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.scoring import Scoring
from uniaudio2.scores.spec import Absent, Score, ScoreColumn, Scorer
from uniaudio2.scores.table import SCORERS, get_scorers, score_columns

NAMES = [name for name, scorer in SCORERS.items() if not scorer.missing]


def own(score: Score) -> Scorer:
    columns = (ScoreColumn("score_own", "1", "own"), ScoreColumn("score_other", "1", "other"))
    return Scorer("own", "own", ("sound",), columns, "1", "MIT", "nothing", make=lambda: score)


def fails(error: Exception) -> Callable[[Heard], dict[str, float]]:
    def score(heard: Heard) -> dict[str, float]:
        raise error

    return score


def test_scores_are_equal_in_other_orders_and_other_company() -> None:
    # lengths of one window, so that it does not take long
    waves = [as_wave(clip(number)) for number in (1, 2, 12, 13)]
    texts = ["one two", "three four five", None, "six"]

    def rows() -> list[Heard]:
        return [Heard(wave, text, text) for wave, text in zip(waves, texts, strict=True)]

    one, two = Scoring(get_scorers(NAMES)), Scoring(get_scorers(NAMES), threads=2)
    first = one(rows())
    assert two(rows()[::-1])[::-1] == first
    assert [two([row])[0] for row in rows()[:2]] == first[:2]


@pytest.mark.parametrize("kind", ["silence", "one sample", "nothing", "loud", "no sound"])
def test_every_score_is_a_number_or_has_a_reason(kind: str) -> None:
    waves = {
        "silence": torch.zeros(24_000), "one sample": torch.ones(1), "nothing": torch.zeros(0),
        "loud": torch.randn(2400, generator=torch.Generator().manual_seed(1)) * 1e6,
        "no sound": None,
    }  # fmt: skip
    (found,) = Scoring(get_scorers(NAMES))([Heard(waves[kind])])
    assert {*found.values, *found.reasons} == {*score_columns(NAMES)}
    assert not found.values.keys() & found.reasons.keys()
    assert all(math.isfinite(value) for value in found.values.values())
    assert all(found.reasons.values())


def test_a_scorer_that_fails_costs_its_own_columns() -> None:
    failing = own(fails(RuntimeError("tea\nspilled\x1b[31m")))
    (found,) = Scoring([failing, SCORERS["clipping"]])([Heard(speech(0))])
    assert found.reasons == dict.fromkeys(("score_own", "score_other"), "RuntimeError: tea")
    assert list(found.values) == ["score_clipped_share"]


def test_what_is_no_number_is_absent_with_its_reason() -> None:
    odd = own(lambda heard: {"score_own": math.nan, "score_other": Absent("so it is")})
    (found,) = Scoring([odd])([Heard(speech(0))])
    assert found.reasons == {"score_own": "the scorer gave nan", "score_other": "so it is"}
    (found,) = Scoring([own(lambda heard: {"score_own": 1})])([Heard(speech(0))])
    assert found.values == {"score_own": 1.0}
    assert found.reasons == {"score_other": "the scorer gave nothing"}


def test_memory_that_ran_out_is_no_fault_of_the_row() -> None:
    with pytest.raises(MemoryError):
        Scoring([own(fails(MemoryError()))])([Heard(speech(0))])


def test_a_package_that_is_missing_is_told_before_anything_is_built() -> None:
    missing = dataclasses.replace(SCORERS["dnsmos"], packages=("onnxruntime", "no-such-package"))
    assert missing.missing == ["no-such-package"]
