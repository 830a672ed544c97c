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
    if pa.types.is_map(kind):
        key, item = (mapped_type(part, change) for part in (kind.key_type, kind.item_type))
        return pa.map_(key, item, kind.keys_sorted)
    if pa.types.is_dictionary(kind):
        value = mapped_type(kind.value_type, change)
        return pa.dictionary(kind.index_type, value, kind.ordered)
    for is_list, list_of in _LISTS:
        if is_list(kind):
            return list_of(kind.value_field.with_type(mapped_type(kind.value_type, change)))
    if pa.types.is_fixed_size_list(kind):
        value = kind.value_field.with_type(mapped_type(kind.value_type, change))
        return pa.list_(value, kind.list_size)
    return kind


_LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]], ...] = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


def _plain(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A type with strings and bytes in the place of ``string_view`` and ``binary_view``, and
    values in the place of runs of them."""
    return mapped_type(kind, _plain)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema without views; the schema itself where it has none."""
    plain = [field.with_type(plain_type(field.type)) for field in schema]
    if all(one.type == other.type for one, other in zip(plain, schema, strict=True)):
        return schema
    return pa.schema(plain, schema.metadata)


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without views; the batch itself where it has none."""
    schema = plain_schema(batch.schema)
    if schema is batch.schema:
        return batch
    columns = [
        column_as(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plain_table(table: pa.Table) -> pa.Table:
    """A table without views; the table itself where it has none."""
    schema = plain_schema(table.schema)
    if schema is table.schema:
        return table
    return pa.Table.from_batches(map(plain_batch, table.to_batches()), schema)


def column_as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as another type, also where Arrow knows no cast: of list views, runs."""
    if column.type == kind:
        return column
    if _is_cast(column.type):
        return column.cast(kind)
    return pa.array(column.to_pylist(), kind)


def _is_cast(kind: pa.DataType) -> bool:
    """Whether Arrow casts all that a type is made of."""
    if (
        pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
        or pa.types.is_run_end_encoded(kind)
    ):
        return False
    return all(_is_cast(kind.field(index).type) for index in range(kind.num_fields))
