"""The base of every configuration: frozen, closed, and helpful about a misspelt key."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from uniaudio2.shown import listed, quoted, shown

_GIVEN = 80
_NAMES = 60
_NAME = 200  # longer than any name; comparing takes the square of it


def nearest(name: str, valid: list[str]) -> str:
    """Name what was probably meant, for the end of an error message.

    Args:
        name: what the user wrote.
        valid: the names that exist.

    Returns:
        ``"did you mean 'x'?"`` or, when nothing is close, the list of valid names.
    """
    close = difflib.get_close_matches(name[:_NAME], valid, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(quoted(match) for match in close) + "?"
    return "valid names: " + listed(sorted(valid), most=_NAMES)


def known(value: Any, valid: Sequence[str], what: str) -> Any:
    """Let a value pass that is one of the valid ones.

    Raises:
        ValueError: it is none; the message names the nearest.
    """
    if value not in valid:
        raise ValueError(f"{what} {quoted(value)} is unknown; {nearest(str(value), list(valid))}")
    return value


def explain(fault: ValidationError) -> str:
    """What is wrong with settings, in one line."""
    problems = []
    for error in fault.errors(include_url=False):
        where = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        if error["loc"]:  # rules name what they are about, which stands before them already
            message = message.removeprefix(f"{error['loc'][-1]} ")
        if error["type"] not in ("value_error", "missing") and where:
            message = f"{_given(error['input'])} is not valid: {message[:1].lower()}{message[1:]}"
        problems.append(f"{shown(where)}: {message}" if where else message)
    return "; ".join(problems)


def _given(value: Any) -> str:
    """A value of a setting: texts between quotes, so that `"5"` and `5` can be told apart."""
    return quoted(value, _GIVEN) if isinstance(value, str) else shown(repr(value), _GIVEN)


class Frozen(BaseModel):
    """A pydantic model that cannot change and knows exactly its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), list(cls.model_fields))
                    raise ValueError(f"unknown key {quoted(key)}; {hint}")
        return data


def yaml_fault(fault: Exception) -> str:
    """Where YAML cannot be read, without a word of what stands there: it may be any file.

    Args:
        fault: a `yaml.YAMLError`, or what else reading it raised.
    """
    mark = getattr(fault, "problem_mark", None)
    if mark is None:
        return "it is no YAML"
    return f"it is no YAML: line {mark.line + 1}, column {mark.column + 1} is not expected"
