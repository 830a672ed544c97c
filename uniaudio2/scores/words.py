"""Words of two texts that are compared: what nobody hears is no difference."""

from __future__ import annotations

import re
import unicodedata

# scripts that put no spaces between words: each letter counts as one
_UNSPACED = re.compile(
    "([\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])"
)
_APOSTROPHES = str.maketrans("\u2019\u02bc", "''")
_INSIDE = re.compile(r"(?<=\w)'(?=\w)")


def words_of(text: str) -> list[str]:
    """The words of a text, without letter case, punctuation and widths of letters.

    An apostrophe inside a word is a letter of it. Of scripts that put no spaces between words, such
    as Chinese, Japanese and Thai, every letter with its marks is a word.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES)
    kept = "".join(
        letter if _is_heard(letter) or _INSIDE.match(plain, place) else " "
        for place, letter in enumerate(plain)
    )
    return _with_marks(_UNSPACED.sub(r" \1 ", kept).split())


def _is_heard(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMN"


def _with_marks(words: list[str]) -> list[str]:
    """Words, with marks that stand alone put back to the letter that they belong to."""
    found: list[str] = []
    for word in words:
        if found and unicodedata.category(word[0])[0] == "M":
            found[-1] += word
        else:
            found.append(word)
    return found
