"""Settings of a published folder and shapes of its tensors, read with helpful errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from torch import Tensor

from uniaudio2.frozen import yaml_fault

_C = TypeVar("_C", bound=BaseModel)
State = Mapping[str, Tensor]


def checked(kind: type[_C], path: Path, **values: Any) -> _C:
    """Build a configuration; the ValueError of what it refuses names the file of the values."""
    try:
        return kind(**values)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {where} {first['msg']}; correct the file") from fault


def read_settings(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file of names and values.

    Raises:
        ValueError: it is neither, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text())  # JSON is YAML too
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ValueError(f"{path}: {yaml_fault(fault)}; download it again") from fault
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold names and values; download it again")
    return content


def field_of(settings: Mapping[str, Any], name: str, path: Path) -> Any:
    """Look up a setting that must be there; `path` is for the message of the ValueError."""
    if name not in settings:
        raise ValueError(f"{path} has no {name}; add it, as the model was trained with it")
    return settings[name]


def integer(settings: Mapping[str, Any], name: str, path: Path, below: int | None = None) -> int:
    """Look up a setting that must be a whole number, 0 or more and below a limit, or ValueError."""
    value = field_of(settings, name, path)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{path}: {name} {value!r} must be a whole number, 0 or more; correct it")
    if below is not None and value >= below:
        raise ValueError(f"{path}: {name} {value} must lie below {below}; correct the file")
    return value


def shape(state: State, name: str) -> tuple[int, ...]:
    """Look up the shape of a tensor that must be there, or ValueError."""
    if name not in state:
        raise ValueError(f"the checkpoint lacks the tensor {name}; download the file again")
    return tuple(state[name].shape)


def count(state: State, pattern: str) -> int:
    """Count the names that fit a regular expression."""
    return sum(re.fullmatch(pattern, name) is not None for name in state)
