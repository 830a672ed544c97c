"""Values that are too large to travel: taken out as soon as they are read, known by size and hash.

Every column of a manifest travels to the results, so a value of gigabytes would pass through every
stage. It costs its row alone: the value becomes null and `TOO_LARGE` says what stood there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.columnar.cells import canonical, shown_value
from actors.columnar.dictionaries import Large
from actors.columnar.views import column_as, mapped_type
from uniaudio2.shown import quoted

MAX_VALUE_BYTES = 16 << 20
# codes of a day as whole numbers of eight bytes
MAX_CODES_BYTES = 128 << 20
TOO_LARGE = "_manifest_too_large"
_CODES = ("recon_codes", "reason_codes")
_LONGEST_CANONICAL = 4096


def limit_of(name: str, limits: Mapping[str, int] | None = None) -> int:
    """Most bytes that a value of a column may have; `limits` overrides it by name."""
    default = MAX_CODES_BYTES if name in _CODES else MAX_VALUE_BYTES
    return (limits or {}).get(name, default)


def bounded(
    batch: pa.RecordBatch,
    limits: Mapping[str, int] | None = None,
    swapped: Mapping[bytes, Large] | None = None,
) -> pa.RecordBatch:
    """A batch without values that are too large.

    Args:
        batch: rows of a manifest.
        limits: most bytes of a value, by column, where it is another than `limit_of` says.
        swapped: what tokens in the index of values stand for, see `swap`.

    Returns:
        the batch itself where all fit; else such values are null, dictionaries that were read to
        measure them are plain, and `TOO_LARGE` holds by row what was there: JSON of
        ``{column: [bytes, what stands for the value in hashes]}``.
    """
    arrays: list[pa.Array] = []
    found: dict[int, dict[str, Any]] = {}
    columns = batch.columns
    for name, column in zip(batch.schema.names, columns, strict=True):
        limit = limit_of(name, limits)
        large = {} if name == TOO_LARGE else large_values(column, limit)
        facts = {row: (size, _stand_in(column, row)) for row, size in large.items()}
        facts |= _tokens(column, swapped) if swapped else {}
        for row, fact in facts.items():
            found.setdefault(row, {})[name] = list(fact)
        if facts:
            indices = [None if row in facts else row for row in range(len(column))]
            column = column.take(pa.array(indices, pa.int64()))
        arrays.append(_plain(column, limit))
    if not found and all(new is old for new, old in zip(arrays, columns, strict=True)):
        return batch
    names = list(batch.schema.names)
    if found:
        notes = [json.dumps(found[row]) if row in found else None for row in range(len(batch))]
        if TOO_LARGE in names:
            index = names.index(TOO_LARGE)
            old = arrays[index].to_pylist()
            notes = [
                json.dumps(large_row(was) | found[row]) if row in found else was
                for row, was in enumerate(old)
            ]
            del names[index], arrays[index]
        names.append(TOO_LARGE)
        arrays.append(pa.array(notes, pa.string()))
    return pa.RecordBatch.from_arrays(arrays, names)


def bounded_table(table: pa.Table, limits: Mapping[str, int] | None = None) -> pa.Table:
    """A table without values that are too large; see `bounded`."""
    if table.nbytes <= MAX_VALUE_BYTES and limits is None:
        return table
    parts = [bounded(batch, limits) for batch in table.to_batches()]
    return joined(parts, table.schema)


def _tokens(column: pa.Array, swapped: Mapping[bytes, Large]) -> dict[int, tuple[int, Any]]:
    """Rows that hold a token, and what it stands for."""
    found: dict[int, tuple[int, Any]] = {}
    for row, cell in enumerate(column):
        value = shown_value(cell)
        sizes = [swapped[token][0] for token in _texts(value) if token in swapped]
        if sizes:
            found[row] = (sum(sizes), _short(canonical(_named(value, swapped))))
    return found


def _named(value: Any, swapped: Mapping[bytes, Large]) -> Any:
    """A value with hashes in the place of tokens."""
    if isinstance(value, str | bytes):
        token = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        return swapped[token][1] if token in swapped else value
    if isinstance(value, dict):
        return {key: _named(item, swapped) for key, item in value.items()}
    return [_named(item, swapped) for item in value] if isinstance(value, list) else value


def _short(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True, default=str)
    return value if len(text) <= _LONGEST_CANONICAL else _digest(text.encode())


def _texts(value: Any) -> Iterator[bytes]:
    if isinstance(value, str | bytes):
        yield value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Batches as a table; a column that some lack is null there."""
    if not batches:
        return schema.empty_table()
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    return pa.concat_tables(tables, promote_options="default")


def large_values(column: pa.Array, limit: int) -> dict[int, int]:
    """Rows whose value has more than `limit` bytes, and how many."""
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_flat(kind.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    elif column.nbytes <= limit and not _has_dictionary(kind):
        return {}
    elif _is_flat(kind):
        lengths = pc.binary_length(column)
    else:
        sizes = (_nested_size(column.slice(row, 1)) for row in range(len(column)))
        return {row: size for row, size in enumerate(sizes) if size > limit}
    return {
        row: size
        for row, size in enumerate(lengths.to_pylist())
        if size is not None and size > limit
    }


def large_row(note: Any) -> dict[str, Any]:
    """Parse a cell of `TOO_LARGE`; empty where it is none of ours."""
    try:
        facts = json.loads(note) if isinstance(note, str) else None
    except ValueError:
        return {}
    if not isinstance(facts, dict):
        return {}
    is_ours = all(isinstance(fact, list) and len(fact) == 2 for fact in facts.values())
    return facts if is_ours else {}


def too_large_message(note: Any, limits: Mapping[str, int] | None = None) -> str | None:
    """Describe a value of a row that is too large, by its cell of `TOO_LARGE`; None without one."""
    for name, (size, _) in large_row(note).items():
        return (
            f"column {quoted(name, 80)}: a value of {size} bytes; at most "
            f"{limit_of(name, limits)} travel with a row: cut it, or leave the column out"
        )
    return None


def _is_flat(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
             pa.types.is_large_binary)  # fmt: skip
    return any(test(kind) for test in tests)


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def _nested_size(column: pa.Array) -> int:
    """Bytes of a row as it would be without dictionaries."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not _is_flat(kind.value_type):
            return int(column.nbytes)
        total = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py()
        return int(total or 0)
    if not _has_dictionary(kind):
        return int(column.nbytes)
    if pa.types.is_struct(kind):
        return sum(_nested_size(part) for part in column.flatten())
    if pa.types.is_map(kind):
        return int(column.nbytes)
    return _nested_size(column.flatten())


def _value_type(kind: pa.DataType) -> pa.DataType | None:
    return kind.value_type if pa.types.is_dictionary(kind) else None


def _plain(column: pa.Array, limit: int) -> pa.Array:
    """The column without dictionaries inside lists, which are there to measure rows alone.

    A column that is a dictionary itself is the file's own wish; it keeps what its rows use.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        if column.dictionary.nbytes <= limit:
            return column
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column_as(column, mapped_type(kind, _value_type)) if _has_dictionary(kind) else column


def _stand_in(column: pa.Array, row: int) -> Any:
    """The stand-in of a value in the hash of its row.

    Bytes hash as they would if they were there: rows keep their ids, whoever reads them.
    """
    cell = column[row]
    kind = cell.type
    if pa.types.is_dictionary(kind):
        cell, kind = cell.value, kind.value_type
    if _is_flat(kind):
        return _digest(cell.as_buffer())
    if _has_dictionary(kind):
        return _digest(repr([_nested_size(column.slice(row, 1)), len(cell)]).encode())
    if not pa.types.is_nested(kind) or not has_bytes(kind):
        batch = pa.RecordBatch.from_arrays([column.slice(row, 1)], ["v"])
        return _digest(batch.serialize())
    return _short(canonical(shown_value(cell)))


def has_bytes(kind: pa.DataType) -> bool:
    """Tell whether bytes stand anywhere in values of a type."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return any(has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def _digest(data: Any) -> dict[str, str]:
    return {"blake2b": hashlib.blake2b(data, digest_size=16).hexdigest()}
