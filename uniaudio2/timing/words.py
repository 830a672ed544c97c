"""The words of a text that are timed, and which ids made each of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

# scripts that put no spaces between words: each letter is timed by itself
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
_UNFINISHED = "\ufffd"  # what a decoder gives for a letter of which not all bytes are there

_CONTEXT = 8  # ids before one, with which it is decoded: more than the bytes of a letter

Range = tuple[int, int]


def word_ranges(text: str) -> list[Range]:
    """Where the words of a text are: what stands between blanks; of scripts without blanks each
    letter, with the marks and signs that belong to it.

    Returns:
        first character and the one behind the last of each, in order.
    """
    ranges: list[Range] = []
    for found in re.finditer(r"\S+", text):
        begin = found.start()
        for place in range(found.start() + 1, found.end()):
            if _parts(text[place - 1], text[place], text[begin:place]):
                ranges.append((begin, place))
                begin = place
        ranges.append((begin, found.end()))
    return ranges


def _parts(before: str, letter: str, word: str) -> bool:
    """Tell whether a new word begins with a letter that has no blank before it."""
    if not _is_spoken(letter) or not any(map(_is_spoken, word)):
        return False  # marks and punctuation go with the letter that they follow or open
    return bool(_UNSPACED.match(letter) or any(map(_UNSPACED.match, word)))


def _is_spoken(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LN"


def ids_of_words(
    ids: Sequence[int], ranges: Sequence[Range], text_of: Callable[[Sequence[int]], str]
) -> list[list[int]]:
    """Which ids made each word.

    Args:
        ids: of the whole text.
        ranges: of `word_ranges` of that text.
        text_of: decodes ids; special ones to nothing.

    Returns:
        for each word places in `ids`, in order; an id that made pieces of two belongs to both.
    """
    made: list[list[int]] = [[] for _ in ranges]
    spelling = [place for place, one in enumerate(ids) if text_of([one])]
    begin = end = word = 0
    for number, place in enumerate(spelling):
        known = [ids[other] for other in spelling[max(number - _CONTEXT, 0) : number]]
        end += _length(text_of([*known, ids[place]])) - _length(text_of(known))
        stop = max(end, begin + 1)  # a letter whose bytes are not all there yet is the next one
        while word < len(ranges) and ranges[word][1] <= begin:
            word += 1
        for other in range(word, len(ranges)):
            if ranges[other][0] >= stop:
                break
            made[other].append(place)
        begin = end
    return made


def _length(text: str) -> int:
    return len(text.rstrip(_UNFINISHED))
