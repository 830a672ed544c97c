"""Tell names of fields from data: the keys of JSON objects in a column, counted while it is read.

A struct has a field for every key, in every row. Where keys are data, such as a speaker's name for
a score, that is rows times keys of nulls which nobody wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

MAX_FIELDS = 1000
_MANY_FIELDS = 64
_FEW_FIELDS = 8
_SPARSE = 4
_DEEPEST = 16
_ITEMS = "[]"


class ObjectKeys:
    """Keys of the objects at one place of a column, and of those inside of them."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._objects = 0
        self._keys: Counter[str] = Counter()
        self._inside: dict[str, ObjectKeys] = {}

    def add(self, values: Iterable[Any]) -> bool:
        """Count the keys of values; True once there are so many that they can only be data.

        So it is beyond `MAX_FIELDS`, and beyond 64 where objects have less than a quarter of them
        on average.
        """
        inside: dict[str, list[Any]] = {}
        objects = []
        for value in values:
            if type(value) is dict and value:
                objects.append(value)
            elif type(value) is list and value and type(value[0]) in (dict, list):
                inside.setdefault(_ITEMS, []).extend(value)
        self._objects += len(objects)
        self._keys.update(chain.from_iterable(objects))
        number = len(self._keys)
        is_sparse = self._keys.total() * _SPARSE < self._objects * number
        if number > MAX_FIELDS or (number > _MANY_FIELDS and is_sparse):
            return True
        for value in objects:
            for key, inner in value.items():
                if type(inner) is dict or type(inner) is list:
                    inside.setdefault(key, []).append(inner)
        if self._depth > _DEEPEST:
            return False
        return any(
            self._inside.setdefault(key, ObjectKeys(self._depth + 1)).add(inner)
            for key, inner in inside.items()
        )

    def are_data(self) -> bool:
        """Tell, when all is counted, whether keys are data: at least eight, of which none is in a
        quarter of the objects."""
        if len(self._keys) >= _FEW_FIELDS:
            most = max(self._keys.values())
            if most * _SPARSE < self._objects:
                return True
        return any(inner.are_data() for inner in self._inside.values())
