"""Scorers that installed packages bring, by the entry points of group ``uniaudio2.scorers``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import get_args

from uniaudio2.scores.spec import PREFIX, Input, Scorer
from uniaudio2.shown import MESSAGE_CHARACTERS, shown

GROUP = "uniaudio2.scorers"
_REASONS = f"{PREFIX}reasons"


def own_scorers() -> dict[str, EntryPoint]:
    """Entry points by name; none is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_own(point: EntryPoint, taken: Sequence[str]) -> Scorer:
    """Import a scorer that a package brings.

    Args:
        point: where it is.
        taken: columns that it may not fill.

    Raises:
        ValueError: it cannot be imported, is no scorer, or breaks a rule; one line.
    """
    try:
        found = point.load()
    except Exception as fault:  # whatever a package of others does when it is imported
        told = shown(f"{type(fault).__name__}: {fault}", MESSAGE_CHARACTERS // 2)
        raise ValueError(
            f"scorer {point.name!r} cannot be imported from {point.value}: {told}; correct the "
            "package that brings it, or leave it out"
        ) from fault
    if not isinstance(found, Scorer) or found.name != point.name:
        raise ValueError(
            f"entry point {point.value} is no scorer of name {point.name!r}; let it be a "
            f"`uniaudio2.scores.spec.Scorer` of that name"
        )
    columns = [column.name for column in found.columns]
    unfit = [name for name in columns if not name.startswith(PREFIX) or name in (*taken, _REASONS)]
    if unfit or not columns:
        raise ValueError(
            f"scorer {point.name!r} fills {', '.join(unfit) or 'no column'}; its columns begin "
            f"with {PREFIX}, and have names of their own"
        )
    if unknown := [one for one in found.inputs if one not in get_args(Input)]:
        raise ValueError(
            f"scorer {point.name!r} wants {unknown[0]!r}; inputs are {', '.join(get_args(Input))}"
        )
    return found


def check_columns(scorers: Sequence[Scorer]) -> None:
    """Refuse scorers of which two fill one column.

    Raises:
        ValueError: there are such.
    """
    filled: dict[str, str] = {}
    for scorer in scorers:
        for column in scorer.columns:
            other = filled.setdefault(column.name, scorer.name)
            if other != scorer.name:
                raise ValueError(
                    f"scorers {other!r} and {scorer.name!r} both fill {column.name}; name one"
                )
