"""From the text of a rule to its terms: a part of SQL, with SQL's precedence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from uniaudio2.rules.terms import (
    COMPARISONS,
    Among,
    Arithmetic,
    Between,
    Column,
    Compared,
    Constant,
    IsNull,
    Joined,
    Not,
    Term,
)
from uniaudio2.rules.words import BadRule, Word, words_in
from uniaudio2.shown import quoted

_DEEPEST = 40  # parentheses, signs and `not` within one another


@dataclass(frozen=True)
class Condition:
    """One of the conditions that a rule joins by ``and``.

    Attributes:
        text: as it stands in the rule.
        term: what it is.
    """

    text: str
    term: Term


def conditions_of(rule: str) -> tuple[Condition, ...]:
    """The conditions of a rule, all of which are to hold.

    Raises:
        BadRule: it cannot be understood; the message says where.
    """
    parser = _Parser(rule)
    found = [parser.condition()]
    while parser.take("keyword", "and"):
        found.append(parser.condition())
    if parser.is_at("keyword", "or"):  # binds less: the whole is one condition
        parser = _Parser(rule)
        found = [Condition(rule.strip(), parser.either())]
    parser.end()
    return tuple(found)


def value_of(text: str) -> Term:
    """The value that a text says, such as ``-wer``.

    Raises:
        BadRule: as of `conditions_of`.
    """
    parser = _Parser(text)
    found = parser.sum()
    parser.end()
    return found


class _Parser:
    def __init__(self, rule: str) -> None:
        self.rule, self.words, self.at, self.depth = rule, words_in(rule), 0, 0

    @property
    def word(self) -> Word:
        return self.words[self.at]

    def is_at(self, kind: str, *texts: str) -> bool:
        return self.word.kind == kind and (not texts or self.word.text in texts)

    def take(self, kind: str, *texts: str) -> Word | None:
        """The next word, if it is one of these."""
        if not self.is_at(kind, *texts):
            return None
        self.at += 1
        return self.words[self.at - 1]

    def need(self, kind: str, text: str) -> None:
        if not self.take(kind, text):
            raise BadRule(f"{self._here()} where {text!r} is needed")

    def end(self) -> None:
        if self.word.kind != "end":
            raise BadRule(f"{self._here()} is not expected there")

    def _here(self) -> str:
        return quoted(self.word.text) if self.word.kind != "end" else "its end"

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise BadRule(f"more than {_DEEPEST} parts within one another")

    def condition(self) -> Condition:
        start = self.word.start
        term = self.negation()
        return Condition(self.rule[start : self.words[self.at - 1].stop], term)

    def either(self) -> Term:
        return self._joined("or", self.all_of)

    def all_of(self) -> Term:
        return self._joined("and", self.negation)

    def _joined(self, word: Literal["and", "or"], one: object) -> Term:
        assert callable(one)  # noqa: S101 - a method of this class
        found = [one()]
        while self.take("keyword", word):
            found.append(one())
        return Joined(word, tuple(found)) if len(found) > 1 else found[0]

    def negation(self) -> Term:
        if not self.take("keyword", "not"):
            return self.comparison()
        self._deeper()
        found = Not(self.negation())
        self.depth -= 1
        return found

    def comparison(self) -> Term:
        left = self.sum()
        if sign := self.take("sign", *COMPARISONS):
            return Compared(sign.text, left, self.sum())
        if self.take("keyword", "is"):
            is_not = self.take("keyword", "not")
            self.need("keyword", "null")
            return Not(IsNull(left)) if is_not else IsNull(left)
        is_not = self.take("keyword", "not")
        if self.take("keyword", "between"):
            low = self.sum()
            self.need("keyword", "and")
            found: Term = Between(left, low, self.sum())
        elif self.take("keyword", "in"):
            found = Among(left, self._listed())
        elif is_not:
            raise BadRule(f"{self._here()} behind 'not', where between or in is needed")
        else:
            return left
        return Not(found) if is_not else found

    def _listed(self) -> tuple[Term, ...]:
        self.need("sign", "(")
        found = [self.sum()]
        while self.take("sign", ","):
            found.append(self.sum())
        self.need("sign", ")")
        return tuple(found)

    def sum(self) -> Term:
        found = self.product()
        while sign := self.take("sign", "+", "-"):
            found = Arithmetic(sign.text, found, self.product())
        return found

    def product(self) -> Term:
        found = self.signed()
        while self.take("sign", "*"):
            found = Arithmetic("*", found, self.signed())
        return found

    def signed(self) -> Term:
        sign = self.take("sign", "-", "+")
        if sign is None:
            return self.single()
        self._deeper()
        found = self.signed()
        self.depth -= 1
        return Arithmetic("-", Constant(0), found) if sign.text == "-" else found

    def single(self) -> Term:
        word = self.word
        if self.take("sign", "("):
            self._deeper()
            found = self.either()
            self.depth -= 1
            self.need("sign", ")")
            return found
        self.at += word.kind != "end"
        if word.kind == "number":
            is_whole = word.text.isdecimal()
            return Constant(int(word.text) if is_whole else float(word.text))
        if word.kind == "text":
            return Constant(word.text)
        if word.kind == "keyword" and word.text in ("true", "false", "null"):
            return Constant({"true": True, "false": False, "null": None}[word.text])
        if word.kind == "name":
            if self.is_at("sign", "("):
                raise BadRule(f"{quoted(word.text)} is called, and rules call no functions")
            return Column(word.text)
        self.at -= word.kind != "end"
        raise BadRule(f"{self._here()} where a column or a value is needed")
