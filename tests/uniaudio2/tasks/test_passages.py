"""Cutting long texts: nothing lost, nothing doubled, never too long, at the best place there is."""

# ruff: noqa: RUF001 - texts of scripts that have their own commas
from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from uniaudio2.tasks.passages import PassageRule, cut_passages, spoken_letters

ALPHABET = "ab Zé.,;:!?…\"')(\n\t-—7%今天。，、！ぁーกเา\u0301\u200d🙂$1"
TEXTS = some.one_of(some.text(ALPHABET, max_size=300), some.text(max_size=300))


def rule(wanted: float, longest: float | None = None) -> PassageRule:
    return PassageRule(longest=longest or wanted, wanted=wanted, most=1e6)


def said(text: str, wanted: float = 30) -> list[str]:
    return [passage.of(text) for passage in cut_passages(text, rule(wanted))]


@given(TEXTS, some.floats(1, 100))
def test_passages_are_the_text(text: str, wanted: float) -> None:
    passages = cut_passages(text, rule(wanted))
    assert passages == cut_passages(text, rule(wanted))
    assert "".join(text[one.start : one.stop] for one in passages) == text
    assert all(before.stop == after.start for before, after in pairwise(passages))
    # what is said is the text but for the spaces at its cuts
    assert "".join("".join(one.of(text).split()) for one in passages) == "".join(text.split())


@given(TEXTS, some.floats(6, 100))
def test_none_is_longer_than_wanted_or_has_nothing_to_say(text: str, wanted: float) -> None:
    passages = cut_passages(text, rule(wanted))
    for one in passages:
        piece = text[one.start : one.stop]
        inseparable = "\u200d" in text or "เ" in text
        assert spoken_letters(piece) <= wanted or inseparable or _is_one_letter(piece)
        assert len(passages) == 1 or spoken_letters(piece) > 0


def _is_one_letter(piece: str) -> bool:
    """A letter with whatever marks and signs go with it."""
    return sum(map(str.isalnum, piece)) <= 1 or not piece.isascii()


@given(TEXTS)
def test_a_text_that_is_not_too_long_is_one_passage(text: str) -> None:
    (whole,) = cut_passages(text, rule(5, longest=max(spoken_letters(text), 5)))
    assert (whole.start, whole.stop) == (0, len(text))


def test_sentences_are_cut_first_then_clauses_then_words() -> None:
    text = "Dogs bark at night. Cats sleep all day, and birds sing; who listens to any of them?"
    assert said(text, 40) == [
        "Dogs bark at night.",
        "Cats sleep all day, and birds sing;",
        "who listens to any of them?",
    ]
    assert said("one two three four five six seven eight", 12) == [
        "one two three", "four five six", "seven eight",
    ]  # fmt: skip
    ends = [one.end for one in cut_passages(text, rule(16))]
    assert ends == ["sentence", "clause", "clause", "word", "sentence"], said(text, 16)


@pytest.mark.parametrize(
    "whole",
    [
        "Dr. Smith met Mrs. Jones at St. Mary.",
        "It cost 3.14 dollars, i.e. very little.",
        "J. R. R. Tolkien wrote No. 5 of vol. 7 at 10:30 a.m. on Monday.",
        "Visit example.com or see fig. 2 for 1,000.50 more.",
    ],
)
def test_abbreviations_and_numbers_end_no_sentence(whole: str) -> None:
    text = f"{whole} {whole}"
    assert said(text, spoken_letters(whole) + 1) == [whole, whole]


def test_texts_without_capitals_have_sentences_too() -> None:
    assert said("yes no stop. go up down. left right.", 12) == [
        "yes no stop.", "go up down.", "left right.",
    ]  # fmt: skip


def test_scripts_without_spaces() -> None:
    assert said("今天天气很好。我们去公园散步吧，然后吃饭。", 30) == [
        "今天天气很好。", "我们去公园散步吧，", "然后吃饭。",
    ]  # fmt: skip
    thai = "สวัสดีครับวันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ"
    pieces = said(thai, 30)
    assert "".join(pieces) == thai
    assert not any(
        piece[-1] in "เแโใไ" or piece[0] in "\u0e31\u0e34\u0e48\u0e49" for piece in pieces
    )


def test_what_has_no_break_is_cut_somewhere() -> None:
    assert [len(piece) for piece in said("x" * 100, 30)] == [25, 25, 25, 25]


def test_digits_and_signs_take_as_long_as_their_words() -> None:
    assert spoken_letters("50% of 7") == 4 + 4 + 5 + 2 + 4
    assert spoken_letters("今天") == 7
    assert spoken_letters(" ,.!\n") == 0


def test_passages_longer_than_what_is_not_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than what is not cut"):
        rule(10, longest=5)
