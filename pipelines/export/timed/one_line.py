"""Texts as one line for every reader."""

from __future__ import annotations

import unicodedata


def is_control(letter: str) -> bool:
    """Tell whether a character is a control character, or ends a line for some reader."""
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def flat_line(text: str) -> str:
    """A text with a blank for each character that might end a line, and none at its ends."""
    return "".join(" " if is_control(letter) else letter for letter in text).strip()


def one_line(text: str) -> str:
    """A text as words with single blanks between them."""
    return " ".join(flat_line(text).split())
