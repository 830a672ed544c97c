from __future__ import annotations

import random

import pytest

from uniaudio2.training.data.domain import (
    EVENTS,
    NAMED_VARIANTS,
    SYMBOLS,
    THEN,
    UNSEEN_VARIANTS,
    UNSEEN_VOICES,
    USUAL_VARIANTS,
    VOICES,
    WORDS,
    random_text,
    symbols_of,
)


def test_the_closed_sets() -> None:
    assert len(WORDS) == len(set(WORDS)) == 35
    assert len(EVENTS) == 8
    assert not set(UNSEEN_VARIANTS) & {*USUAL_VARIANTS, *NAMED_VARIANTS}
    assert not set(UNSEEN_VOICES) & set(VOICES)


@pytest.mark.parametrize("kind", ["words", "events"])
def test_texts_are_made_of_symbols(kind: str) -> None:
    rng = random.Random(0)
    lengths = set()
    for _ in range(200):
        text = random_text(rng, kind)  # type: ignore[arg-type]
        numbers = symbols_of(text)
        lengths.add(len(numbers))
        glue = " " if kind == "words" else THEN
        assert glue.join(SYMBOLS[number - 1] for number in numbers) == text
    assert lengths == set(range(1, 7 if kind == "words" else 4))


def test_what_is_outside_the_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="tuple"):
        symbols_of("hello dog")
