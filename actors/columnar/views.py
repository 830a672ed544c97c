"""Columns of views, which some engines write, as the plain types that everything else reads."""

from __future__ import annotations

import pyarrow as pa


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A type with strings and bytes in the place of ``string_view`` and ``binary_view``."""
    if kind == pa.string_view():
        return pa.string()
    if kind == pa.binary_view():
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(plain_type(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    return kind


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
