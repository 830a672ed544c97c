"""The base of every configuration: frozen, closed, and helpful about a misspelt key."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


def nearest(name: str, valid: list[str]) -> str:
    """Name what was probably meant, for the end of an error message.

    Args:
        name: what the user wrote.
        valid: the names that exist.

    Returns:
        ``"did you mean 'x'?"`` or, when nothing is close, the list of valid names.
    """
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "valid names: " + ", ".join(sorted(valid))


def known(value: Any, valid: Sequence[str], what: str) -> Any:
    """Let a value pass that is one of the valid ones.

    Raises:
        ValueError: it is none; the message names the nearest.
    """
    if value not in valid:
        raise ValueError(f"{what} {value!r} is unknown; {nearest(str(value), list(valid))}")
    return value


def explain(fault: ValidationError) -> str:
    """What is wrong with settings, in one line."""
    problems = []
    for error in fault.errors(include_url=False):
        where = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] not in ("value_error", "missing") and where:
            message = f"{error['input']!r:.80} will not do: {message[:1].lower()}{message[1:]}"
        problems.append(f"{where}: {message}" if where else message)
    return "; ".join(problems)


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
                    raise ValueError(f"unknown key {key!r} in {cls.__name__}; {hint}")
        return data
