from __future__ import annotations

import pytest

from tests.uniaudio2.lm.small import CONFIG, text_prompt
from uniaudio2.lm.engine.limits import check_length


def test_check_length_counts_prompt_and_answer_together() -> None:
    """``S + F <= context + 1``: the last step is never fed back."""
    assert check_length(text_prompt(10), 500, CONFIG) == 55
    assert check_length(text_prompt(10), 7, CONFIG) == 7
    assert check_length(text_prompt(60), 500, CONFIG) == 5
    assert check_length(text_prompt(64), 1, CONFIG) == 1


@pytest.mark.parametrize(
    ("rows", "most", "message"),
    [
        (0, 10, "0 positions; it must have at least 1"),
        (
            61,
            500,
            "61 positions; it may have at most 60 of the 64 .* shorten the audio or the text",
        ),
        (65, 1, "65 positions; it may have at most 64 of the 64"),
    ],
)
def test_prompts_that_do_not_fit(rows: int, most: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_length(text_prompt(rows), most, CONFIG)
