"""A fingerprint of what a stage is built with, the same in every process."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def fingerprint(value: Any) -> str:
    """The same for values that are equal, whichever process has them.

    Pickles are not: a set's order changes from process to process, and a pydantic model has one of
    the fields that it was given.
    """
    return hashlib.blake2b(_told(value).encode(), digest_size=16).hexdigest()


def _told(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, BaseModel):
        return name + _told({field: getattr(value, field) for field in kind.model_fields})
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return name + _told({field.name: getattr(value, field.name) for field in fields})
    if isinstance(value, Mapping):
        return str(sorted((_told(key), _told(one)) for key, one in value.items()))
    if isinstance(value, set | frozenset):
        return f"{name}{sorted(map(_told, value))}"
    if isinstance(value, list | tuple):
        return f"{name}{[_told(one) for one in value]}"
    if hasattr(value, "numpy"):  # a tensor
        data = value.numpy()
        return f"{data.dtype}{data.shape}{hashlib.blake2b(data.tobytes()).hexdigest()}"
    return f"{name}:{value!r}"
