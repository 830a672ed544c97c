"""The base of every configuration: frozen, closed, and helpful about a misspelt key."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


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
