"""Scorers of a user's own: those that installed packages bring, by the entry points of group
``uniaudio2.scorers``, and lines of YAML, each a number made of the figures of other scorers.

Such a line travels as JSON wherever a scorer's name stands. It holds no code: what it may compute
is what rules may, see `uniaudio2.rules`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePosixPath
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError, field_validator

from uniaudio2.frozen import Frozen, explain, yaml_fault
from uniaudio2.rules.rule import Rank
from uniaudio2.scores.spec import PREFIX, Absent, Input, ScoreColumn, Scorer
from uniaudio2.shown import MESSAGE_CHARACTERS, shown

GROUP = "uniaudio2.scorers"
_REASONS = f"{PREFIX}reasons"
SUFFIXES = (".yaml", ".yml")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


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
    filled: dict[str, Scorer] = {}
    for scorer in scorers:
        for column in scorer.columns:
            other = filled.setdefault(column.name, scorer)
            if other is not scorer:
                raise ValueError(
                    f"scorers {other.name!r} and {scorer.name!r} both fill {column.name}; name one"
                )


class ComposedRow(Frozen):
    """A row of such a file.

    Attributes:
        name: of the scorer; its column is ``score_`` and this.
        value: what it is, such as ``dnsmos_ovrl - 10 * clipped_share``.
        unit: of it.
        meaning: what it says, in a line.
        version: raised when `value` comes to mean something else.
    """

    name: str
    value: str
    unit: str = Field("1", max_length=40)
    meaning: str = Field("", max_length=200)
    version: str = Field("1", max_length=20)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if _NAME.fullmatch(name) is None:
            raise ValueError("small letters, digits and underscores are needed, 40 at most")
        return name

    @field_validator("value")
    @classmethod
    def _readable(cls, value: str) -> str:
        Rank.of(value)
        return value


def is_composed(name: str) -> bool:
    """Whether what stands for a scorer's name is such a row, as JSON."""
    return name.startswith("{")


def is_scorer_file(name: str) -> bool:
    """Whether it is the path of a file of such rows."""
    return name.lower().endswith(SUFFIXES)


def parse_scorers(text: str, path: str) -> list[str]:
    """Rows of a file, each as JSON.

    Args:
        text: YAML: a row, or a list of them.
        path: of the file; its stem is the name of a single row that has none.

    Raises:
        ValueError: the YAML is none, or a row breaks a rule; one line.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ValueError(f"scorers {path}: {yaml_fault(fault)}; correct it") from fault
    rows = [{"name": PurePosixPath(path).stem, **found}] if isinstance(found, dict) else found
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"scorers {path}: a list of rows is needed, each with name and value")
    return [_checked(row, f"scorers {path}").model_dump_json() for row in rows]


def _checked(row: Mapping[str, Any], where: str) -> ComposedRow:
    try:
        return ComposedRow.model_validate(row)
    except ValidationError as fault:
        raise ValueError(f"{where}: {explain(fault)}") from fault


def composed_scorer(text: str, scorers: Mapping[str, Scorer]) -> Scorer:
    """The scorer that a row stands for.

    Args:
        text: the row as JSON.
        scorers: the table; columns of these it may read.

    Raises:
        ValueError: it is no such row, reads other columns, or has the name of one of the table.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError("a scorer is neither a name nor a row of a YAML file") from fault
    row = _checked(given if isinstance(given, dict) else {}, "scorer")
    of = {column.name: one.name for one in scorers.values() for column in one.columns}
    column = ScoreColumn(PREFIX + row.name, row.unit, row.meaning or row.value)
    if row.name in scorers or column.name in of:
        raise ValueError(f"scorer {row.name!r} is there already; give yours another name")
    rank = Rank.of(row.value)
    rank.check(dict.fromkeys(of, "number"))
    needs = {of[n if n in of else PREFIX + n] for n in rank.names}
    return Scorer(
        row.name, column.meaning, (), (column,), row.version, "your own", "nothing",
        make=_is_computed_from_others, row=text, needs=tuple(sorted(needs)), value=rank,
    )  # fmt: skip


def _is_computed_from_others() -> Any:
    return None


def composed_value(
    rank: Rank, values: Mapping[str, float], reasons: Mapping[str, str]
) -> float | Absent:
    """The number of a row.

    Args:
        rank: what it is.
        values: of the columns that it reads.
        reasons: why others of them have none.
    """
    for name in rank.names:
        column = name if name in values or name in reasons else PREFIX + name
        if column not in values:
            return Absent(f"{column}: {reasons.get(column, 'not there')}")
    try:
        found = rank.value(values)
    except (OverflowError, ZeroDivisionError) as fault:
        return Absent(str(fault))
    return Absent("it cannot be computed") if found is None else found
