"""The one printer of text that is not ours: one line, printable, bounded, without secrets.

Ids, column names, paths, addresses, messages of libraries and whatever else came from a manifest,
a model or an OUTPUT may hold escape sequences that move a terminal's cursor, letters that turn the
direction of writing, or the password of an address. All of it passes here before a person or a log
sees it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

SHOWN_CHARACTERS = 200
MESSAGE_CHARACTERS = 2000
# `user:password@` of an address, in any text, but not `container@account` of Azure's stores nor
# `name@revision` of a hub's; and the query, which may hold a signature
_HOST = r"[^\s/?#'\"<>]*"
LOGIN = re.compile(
    r"(?<![A-Za-z0-9+.-])((?:(?!(?:abfss?|az|wasbs?|hf):)[A-Za-z][A-Za-z0-9+.-]{0,30}://"
    rf"|(?:abfss?|az|wasbs?|hf)://(?={_HOST}:{_HOST}@))){_HOST}@",
    re.IGNORECASE,
)
_INSIDES = re.compile(r"\[(Errno|WinError) -?\d+\] |\bValue error, ")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s?'\"<>]+)\?[^\s'\"<>]*")


def shown(value: Any, characters: int = SHOWN_CHARACTERS, keep: str = "") -> str:
    """A value as text that is safe to show: no control signs, no secrets of addresses, bounded.

    Args:
        value: anything; `str` is called on what is no text.
        characters: longest result; what is cut is marked by an ellipsis.
        keep: control signs that stay, such as a line's end where several lines are meant.

    Returns:
        the text, with signs that are not printable written out as ``\\x1b`` or ``\\u202e``.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > 4 * characters:  # before anything walks over gigabytes
        text = text[: 4 * characters]
    text = without_secrets(text)
    if not text.isprintable():
        text = "".join(
            letter if letter in keep or _is_printable(letter) else _escaped(letter)
            for letter in text
        )
    return text if len(text) <= characters else text[:characters] + "…"


def quoted(value: Any, characters: int = SHOWN_CHARACTERS) -> str:
    """A value as `shown`, between quotes, so that its beginning and end are seen."""
    text = value if isinstance(value, str) else str(value)
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{shown(text, characters)}{mark}"


def listed(values: Any, most: int = 20, characters: int = 60) -> str:
    """Some of many values, each as `shown`; how many are left out is said."""
    values = list(values)
    some = ", ".join(shown(value, characters) for value in values[:most])
    return some if len(values) <= most else f"{some} and {len(values) - most} more"


def without_secrets(text: str) -> str:
    """A text whose addresses have lost their login and their query."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1?…", LOGIN.sub(r"\1…@", text))


def plain_words(text: str) -> str:
    """A message without what libraries put into theirs for programmers: numbers of system errors,
    and the name of pydantic's own error."""
    return _INSIDES.sub("", text)


def _is_printable(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 row`` or ``2 rows``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
