"""Columns of views, which some engines write, as the plain types that everything else reads."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


def mapped_type(
    kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType | None]
) -> pa.DataType:
    """A type with others in the place of some, wherever in its structs and lists they are.

    Args:
        kind: the type.
        change: what takes a type's place; None keeps it and looks into it.
    """
    changed = change(kind)
    if changed is not None:
        return changed
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(mapped_type(field.type, change)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(mapped_type(kind.value_type, change)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(mapped_type(kind.value_type, change)))
    return kind


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A type with strings and bytes in the place of ``string_view`` and ``binary_view``."""
    return mapped_type(kind, {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema without views; the schema itself where it has none."""
    plain = [field.with_type(plain_type(field.type)) for field in schema]
    if all(one.type == other.type for one, other in zip(plain, schema, strict=True)):
        return schema
    return pa.schema(plain, schema.metadata)


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without views; the batch itself where it has none."""
    schema = plain_schema(batch.schema)
    return batch if schema is batch.schema else batch.cast(schema)
