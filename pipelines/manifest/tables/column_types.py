"""Types of columns whose values come from several batches or files."""

from __future__ import annotations

import pyarrow as pa

_DEEPEST = 16


def merged(one: pa.DataType, other: pa.DataType, depth: int = 0) -> pa.DataType | None:
    """The type of values some of which are of one type and some of another; None for none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if depth > _DEEPEST:
        return None
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        item = merged(one.value_type, other.value_type, depth + 1)
        return None if item is None else pa.list_(item)
    if not (pa.types.is_struct(one) and pa.types.is_struct(other)):
        return None
    fields = {field.name: field.type for field in one}
    for field in other:
        common = merged(fields.get(field.name, pa.null()), field.type, depth + 1)
        if common is None:
            return None
        fields[field.name] = common
    return pa.struct(list(fields.items()))


def is_storable(kind: pa.DataType, depth: int = 0) -> bool:
    """Parquet takes no struct without fields, Arrow's streams no deep nesting; and lists of nulls
    alone cannot always be joined."""
    if depth and pa.types.is_null(kind):
        return False
    if depth > _DEEPEST or (pa.types.is_struct(kind) and not kind.num_fields):
        return False
    return all(is_storable(kind.field(index).type, depth + 1) for index in range(kind.num_fields))
