from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from tests.uniaudio2.lm.small import CONFIG
from uniaudio2.lm.sampling.sampling import Sampling


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature 0.0 must be above 0; for no randomness set greedy"),
        ({"temperature": -1}, "temperature -1.0 must be above 0"),
        ({"temperature": math.nan}, "temperature nan must be above 0"),
        ({"top_k": 0}, "top_k 0 must be at least 1"),
        ({"guidance": 0.5}, "guidance 0.5 must be at least 1"),
        ({"max_frames": 0}, "max_frames 0 must be at least 1"),
        ({"reason_limit": 0}, "reason_limit 0 must be at least 1"),
        ({"topk": 3}, "did you mean 'top_k'"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sampling(**settings)


def test_settings_cannot_change() -> None:
    with pytest.raises(ValidationError):
        Sampling().greedy = True  # type: ignore[misc]


def test_top_k_is_checked_against_the_smallest_card_before_anything_runs() -> None:
    Sampling(top_k=15).check_vocabulary(CONFIG)
    Sampling(top_k=16, greedy=True).check_vocabulary(CONFIG)
    with pytest.raises(ValueError, match="top_k 16 must be at most 15"):
        Sampling(top_k=16).check_vocabulary(CONFIG)
