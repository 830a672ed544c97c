"""The words that a rule is written in, each with its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from uniaudio2.shown import quoted

LONGEST = 2000  # characters of a rule
KEYWORDS = {"and", "or", "not", "is", "null", "between", "in", "true", "false"}
Kind = Literal["number", "text", "name", "keyword", "sign", "end"]
_WORD = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|(?P<quoted>"(?:[^"]|"")+")'
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|<>|!=|==|[=<>+\-*(),]))"
)


class BadRule(ValueError):
    """A rule that cannot be understood, or not on the columns that there are."""


@dataclass(frozen=True)
class Word:
    """One word of a rule.

    Attributes:
        kind: of it.
        text: the word: keywords in small letters, names and texts without their quotes.
        start: its place in the rule.
        stop: the place after it.
    """

    kind: Kind
    text: str
    start: int
    stop: int


def words_in(rule: str) -> list[Word]:
    """The words of a rule, and one of kind ``end`` behind them.

    Raises:
        BadRule: it is too long, or holds what is no word.
    """
    if len(rule) > LONGEST:
        raise BadRule(f"a rule of {len(rule)} characters; {LONGEST} are the most")
    found, at = list[Word](), 0
    end = len(rule.rstrip())
    while at < end:
        match = _WORD.match(rule, at)
        if match is None:
            raise BadRule(f"{quoted(rule[at:end].lstrip()[:20])} is no part of a rule")
        found.append(_word(match))
        at = match.end()
    return [*found, Word("end", "", end, end)]


def _word(match: re.Match[str]) -> Word:
    kind = match.lastgroup or ""
    text, (start, stop) = match[kind], match.span(kind)
    if kind == "quoted":
        return Word("name", text[1:-1].replace('""', '"'), start, stop)
    if kind == "text":
        return Word("text", text[1:-1].replace("''", "'"), start, stop)
    if kind == "name":
        is_key = text.lower() in KEYWORDS
        return Word("keyword" if is_key else "name", text.lower() if is_key else text, start, stop)
    return Word("number" if kind == "number" else "sign", text, start, stop)
