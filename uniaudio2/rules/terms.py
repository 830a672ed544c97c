"""What rules are made of: terms, and what each is of a row.

They have the meaning that SQL gives them: of a value that is null nothing is known, so a comparison
with it is neither true nor false. A float that is no number counts as null.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from uniaudio2.rules.words import BadRule

ValueKind = Literal["number", "text", "truth", "other"]
Row = Mapping[str, Any]
Kinds = Mapping[str, ValueKind]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "==": operator.eq, "<>": operator.ne, "!=": operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip


class Term:
    """A part of a rule."""

    @property
    def parts(self) -> tuple[Term, ...]:
        """The terms that it is made of."""
        return ()

    def value(self, row: Row) -> Any:
        """What it is of a row: a number, a text, true, false, or None for null."""
        raise NotImplementedError

    def kind(self, kinds: Kinds) -> ValueKind | None:
        """What kind of value it has; None where it is null whatever the row.

        Raises:
            BadRule: it is none on columns of these kinds.
        """
        raise NotImplementedError

    def names(self) -> Iterator[str]:
        """The columns that it reads."""
        for part in self.parts:
            yield from part.names()


@dataclass(frozen=True)
class Constant(Term):
    """A value that stands in the rule itself."""

    held: float | int | str | bool | None

    def value(self, row: Row) -> Any:
        del row
        return self.held

    def kind(self, kinds: Kinds) -> ValueKind | None:
        del kinds
        if self.held is None:
            return None
        if isinstance(self.held, bool):
            return "truth"
        return "text" if isinstance(self.held, str) else "number"


@dataclass(frozen=True)
class Column(Term):
    """A column of the row."""

    name: str

    def value(self, row: Row) -> Any:
        found = row[self.name]
        return None if isinstance(found, float) and found != found else found

    def kind(self, kinds: Kinds) -> ValueKind | None:
        return kinds[self.name]

    def names(self) -> Iterator[str]:
        yield self.name


@dataclass(frozen=True)
class _Pair(Term):
    """Two values, joined by a sign."""

    sign: str
    left: Term
    right: Term

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Arithmetic(_Pair):
    """Two numbers, joined by a sign."""

    def value(self, row: Row) -> Any:
        left, right = self.left.value(row), self.right.value(row)
        return None if left is None or right is None else _ARITHMETIC[self.sign](left, right)

    def kind(self, kinds: Kinds) -> ValueKind | None:
        for part in self.parts:
            if part.kind(kinds) not in ("number", None):
                raise BadRule(f"{self.sign!r} joins numbers, not a {part.kind(kinds)}")
        return "number"


@dataclass(frozen=True)
class Compared(_Pair):
    """Two values of one kind, compared."""

    def value(self, row: Row) -> Any:
        left, right = self.left.value(row), self.right.value(row)
        return None if left is None or right is None else COMPARISONS[self.sign](left, right)

    def kind(self, kinds: Kinds) -> ValueKind | None:
        check_alike(kinds, *self.parts)
        return "truth"


@dataclass(frozen=True)
class Between(Term):
    """A value within two others, both included."""

    of: Term
    low: Term
    high: Term

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.of, self.low, self.high)

    def value(self, row: Row) -> Any:
        return both(
            Compared(">=", self.of, self.low).value(row),
            Compared("<=", self.of, self.high).value(row),
        )

    def kind(self, kinds: Kinds) -> ValueKind | None:
        check_alike(kinds, *self.parts)
        return "truth"


@dataclass(frozen=True)
class Among(Term):
    """A value that is one of some."""

    of: Term
    some: tuple[Term, ...]

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.of, *self.some)

    def value(self, row: Row) -> Any:
        found = [Compared("=", self.of, one).value(row) for one in self.some]
        return True if True in found else None if None in found else False

    def kind(self, kinds: Kinds) -> ValueKind | None:
        check_alike(kinds, *self.parts)
        return "truth"


@dataclass(frozen=True)
class _Single(Term):
    """What is said of one value."""

    of: Term

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.of,)


@dataclass(frozen=True)
class IsNull(_Single):
    """Whether a value is null."""

    def value(self, row: Row) -> Any:
        return self.of.value(row) is None

    def kind(self, kinds: Kinds) -> ValueKind | None:
        self.of.kind(kinds)
        return "truth"


@dataclass(frozen=True)
class Not(_Single):
    """The contrary."""

    def value(self, row: Row) -> Any:
        found = self.of.value(row)
        return None if found is None else not found

    def kind(self, kinds: Kinds) -> ValueKind | None:
        check_truths(kinds, "not", self.of)
        return "truth"


@dataclass(frozen=True)
class Joined(Term):
    """Several that are true or false, joined by ``and`` or ``or``."""

    word: Literal["and", "or"]
    of: tuple[Term, ...]

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.of

    def value(self, row: Row) -> Any:
        found = [one.value(row) for one in self.of]
        decides = self.word == "or"
        return decides if decides in found else None if None in found else not decides

    def kind(self, kinds: Kinds) -> ValueKind | None:
        check_truths(kinds, self.word, *self.of)
        return "truth"


def both(left: bool | None, right: bool | None) -> bool | None:
    """``and`` of two that may be unknown."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def check_alike(kinds: Kinds, *terms: Term) -> None:
    """Refuse to compare values of different kinds.

    Raises:
        BadRule: names the kinds.
    """
    found = {kind for term in terms if (kind := term.kind(kinds)) is not None}
    if "other" in found:
        raise BadRule("a column that holds no number, text or truth can only be compared with null")
    if len(found) > 1:
        raise BadRule(f"a {' and a '.join(sorted(found))} are compared; texts stand between '…'")


def check_truths(kinds: Kinds, word: str, *terms: Term) -> None:
    """Refuse to join what is neither true nor false.

    Raises:
        BadRule: names what it is.
    """
    for term in terms:
        if (kind := term.kind(kinds)) not in ("truth", None):
            raise BadRule(
                f"{word!r} joins what is true or false, such as comparisons, not a {kind}"
            )
