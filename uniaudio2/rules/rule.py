"""A rule that rows keep or break, such as ``wer <= 0.1 and dnsmos_ovrl >= 2.8``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uniaudio2.frozen import nearest
from uniaudio2.rules.parser import Condition, conditions_of, value_of
from uniaudio2.rules.terms import Kinds, Term
from uniaudio2.rules.words import BadRule
from uniaudio2.shown import quoted, shown

SHORT = "score_"
"""What names of scores may leave out."""
_SHOWN_VALUE = 40


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a row.

    Attributes:
        holds: it is kept.
        reason: why it is not: the conditions that do not hold, with what their columns are; "".
        held: how many of its conditions hold.
    """

    holds: bool
    reason: str
    held: int


@dataclass(frozen=True)
class Rule:
    """Conditions that all have to hold.

    Attributes:
        text: as it was given.
        conditions: of it.
    """

    text: str
    conditions: tuple[Condition, ...]

    @staticmethod
    def of(text: str) -> Rule:
        """Read a rule.

        Raises:
            BadRule: it cannot be understood.
        """
        try:
            return Rule(text, conditions_of(text))
        except BadRule as fault:
            raise BadRule(f"{quoted(text)}: {fault}") from None

    @property
    def names(self) -> list[str]:
        """The columns that it reads, as it names them."""
        return list(dict.fromkeys(n for one in self.conditions for n in one.term.names()))

    def check(self, kinds: Kinds, others: Iterable[str] = ()) -> None:
        """Hold it against columns of some kinds.

        Args:
            kinds: of the columns that there are.
            others: columns that there could be, of which the nearest is named, too.

        Raises:
            BadRule: it names another, and the message the nearest; or it compares what cannot be.
        """
        _check_names(self.text, self.names, kinds, others)
        known = renamed(self.names, kinds)
        for one in self.conditions:
            try:
                kind = one.term.kind(known)
            except BadRule as fault:
                raise BadRule(f"{quoted(self.text)}: in {quoted(one.text)} {fault}") from None
            if kind not in ("truth", None):
                raise BadRule(
                    f"{quoted(self.text)}: {quoted(one.text)} is a {kind}; give what is true or "
                    "false, such as a comparison"
                )

    def verdict(self, row: Mapping[str, Any], why_null: Mapping[str, str]) -> Verdict:
        """Judge a row; a condition of which nothing is known does not hold.

        Args:
            row: its columns; the rule may leave ``score_`` out of their names.
            why_null: reasons of columns that are null, by their whole names.
        """
        values = renamed(self.names, row)
        broken = [one for one in self.conditions if one.term.value(values) is not True]
        told = [_told(one, values, why_null) for one in broken]
        return Verdict(not broken, "; ".join(told), len(self.conditions) - len(broken))


@dataclass(frozen=True)
class Rank:
    """A number by which rows are ranked, such as ``-wer``: the largest is the best.

    Attributes:
        text: as it was given.
        term: what it is.
    """

    text: str
    term: Term

    @staticmethod
    def of(text: str) -> Rank:
        """Read it.

        Raises:
            BadRule: it cannot be understood.
        """
        try:
            return Rank(text, value_of(text))
        except BadRule as fault:
            raise BadRule(f"{quoted(text)}: {fault}") from None

    @property
    def names(self) -> list[str]:
        """The columns that it reads, as it names them."""
        return list(dict.fromkeys(self.term.names()))

    def check(self, kinds: Kinds, others: Iterable[str] = ()) -> None:
        """As `Rule.check`.

        Raises:
            BadRule: it names another column, or is no number.
        """
        _check_names(self.text, self.names, kinds, others)
        try:
            kind = self.term.kind(renamed(self.names, kinds))
        except BadRule as fault:
            raise BadRule(f"{quoted(self.text)}: {fault}") from None
        if kind != "number":
            raise BadRule(f"{quoted(self.text)} is a {kind or 'null'}; rows are ranked by numbers")

    def value(self, row: Mapping[str, Any]) -> float | None:
        """The number of a row; None where it has none."""
        found = self.term.value(renamed(self.names, row))
        return None if found is None else float(found)


def renamed(names: Iterable[str], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns by the names that a rule gives them: ``wer`` for ``score_wer``."""
    return {name: columns[whole_name(name, columns)] for name in names}


def whole_name(name: str, columns: Iterable[str]) -> str:
    """The name of a column that a rule means."""
    return name if name in columns else f"{SHORT}{name}"


def _check_names(
    text: str, names: Iterable[str], columns: Iterable[str], others: Iterable[str]
) -> None:
    there = set(columns)
    for name in names:
        if name not in there and f"{SHORT}{name}" not in there:
            could = {*there, *others}
            known = sorted({*could, *(one.removeprefix(SHORT) for one in could)})
            raise BadRule(
                f"{quoted(text)} names {quoted(name)}, which is no column of the results; "
                f"{nearest(name, known)}"
            )


def _told(one: Condition, values: Mapping[str, Any], why_null: Mapping[str, str]) -> str:
    """A condition that does not hold, and what its columns are."""
    found = []
    for name in dict.fromkeys(one.term.names()):
        value = values[name]
        is_null = value is None or value != value
        why = why_null.get(name) or why_null.get(f"{SHORT}{name}")
        is_what = f"null ({why})" if is_null and why else "null" if is_null else _shown(value)
        found.append(f"{name} is {is_what}")
    return f"{one.text}: {', '.join(found)}" if found else one.text


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else shown(repr(value), _SHOWN_VALUE)
