from __future__ import annotations

from typing import Any

import pytest

from pipelines.export.timed.cues import Cue, length_ms, segments_of, words_of
from uniaudio2.errors import BadRow


def cell(start_s: float, end_s: float, text: str) -> dict[str, Any]:
    return {"start_s": start_s, "end_s": end_s, "text": text}


def test_times_are_rounded_once() -> None:
    """1.9996 s is 2.000 in every format, and 0.1 + 0.2 is 0.300."""
    facts = {"segments": [cell(0.1 + 0.2, 1.9996, "a"), cell(2.0, 2.0, " "), cell(2.0, 2.5, "b")]}
    assert segments_of(facts) == [Cue(300, 2000, "a"), Cue(2000, 2500, "b")]


def test_spans_stand_in_for_segments() -> None:
    facts = {"segments": None, "spans": [cell(0.0, 1.0, "a")], "words": None}
    assert segments_of(facts) == [Cue(0, 1000, "a")]
    assert words_of(facts) is None
    with pytest.raises(BadRow, match="no segments and no spans"):
        segments_of({})


@pytest.mark.parametrize(
    "value", ["x", [1], [{}], [cell(0.0, 1.0, "a") | {"text": 5}], [cell(1.0, 0.5, "a")]]
)
def test_what_are_no_times_is_a_bad_row(value: Any) -> None:
    with pytest.raises(BadRow, match="in seconds"):
        segments_of({"segments": value})


@pytest.mark.parametrize(
    ("told", "length"), [(2.9996, 2999), (0.5, 1000), (None, 1000), (float("nan"), 1000)]
)
def test_a_length_is_not_before_the_last_end(told: float | None, length: int) -> None:
    assert length_ms({"input_duration_s": told}, [Cue(0, 1000, "a")]) == length
