"""What nobody hears is no difference between two texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.rows import word_errors
from uniaudio2.scores.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MISTER QUILTER IS THE APOSTLE", "mister quilter is the apostle".split()),
        ("Mister Quilter, is the “apostle”!", "mister quilter is the apostle".split()),
        ("O'Brien's — don\u2019t 'quote'", ["o'brien's", "don't", "quote"]),
        ("well-known a\u00a0b\tc\nd", ["well", "known", "a", "b", "c", "d"]),
        ("Stra\u00dfe \uff21\uff22\uff23 cafe\u0301", ["strasse", "abc", "caf\u00e9"]),
        ("今天 天气\uff0c很好。", list("今天天气很好")),
        ("ok今天x", ["ok", "今", "天", "x"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("...", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(max_size=40))
def test_signs_around_any_text_change_nothing(text: str) -> None:
    words = words_of(text)
    assert all(words)
    assert words_of(f" \u201c{text} .\u201d") == words


def test_errors_are_those_that_are_heard() -> None:
    assert word_errors("HELLO, WORLD", "hello world") == (0, 2)
    assert word_errors("今天天气很好", "今天天很好") == (1, 6)
    assert word_errors("- !", "a") is None
