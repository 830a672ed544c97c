"""How long and how large the sounds of rows are, as far as it is known before they are read."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.audio_values import holds_text
from actors.batch.names import AUDIO_COLUMNS
from actors.batch.sample_arrays import holds_samples
from actors.columnar.chunk_sizes import group_sizes
from actors.columnar.file_rows import open_parquet
from actors.columnar.views import plain_schema

Sizes = npt.NDArray[np.int64]
_MEMBER = r"#bytes=\d+\+(?P<size>\d{1,18})$"
_LONGEST_NAME = 4096  # longer text is a sound itself


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_is_binary(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_sound(field: pa.Field) -> bool:
    """Whether a column may hold sounds themselves: bytes, or samples where audio is named."""
    is_array = field.name in AUDIO_COLUMNS and holds_samples(field.type)
    return is_array or _is_binary(field.type)


def row_seconds(table: pa.Table) -> npt.NDArray[np.float64]:
    """Seconds of audio of each row by its columns, ``[N]``; 0 where they do not tell."""

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        kind = table.schema.field(name).type if name in table.column_names else pa.null()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return np.full(table.num_rows, np.nan)
        # unsafe: beyond 2^53 a number of seconds need not be exact
        return np.asarray(table[name].cast(pa.float64(), safe=False).to_numpy(), np.float64)

    with np.errstate(invalid="ignore"):
        span_s = column("end_s") - np.nan_to_num(column("start_s"))
        told_s = np.where(np.isnan(span_s), column("duration"), span_s)
        return np.where(np.isfinite(told_s) & (told_s > 0), told_s, 0.0)


def held_sizes(table: pa.Table) -> Sizes:
    """Bytes of the sounds that rows hold themselves, ``[N]``; of lists of samples the average."""
    sizes = np.zeros(table.num_rows, np.int64)
    for field in table.schema:
        column = table[field.name]
        if field.name in AUDIO_COLUMNS and holds_text(field.type):
            lengths = _lengths(column)
            sizes += np.where(lengths > _LONGEST_NAME, lengths, 0)
        elif _is_binary(field.type):
            sizes += _lengths(column)
        elif is_sound(field):
            sizes += column.nbytes // max(table.num_rows, 1)
    return sizes


def _lengths(column: pa.ChunkedArray) -> Sizes:
    """Lengths of texts or bytes in bytes, ``[N]``; of structures those of all bytes in them."""
    kind = column.type
    if pa.types.is_struct(kind):
        inner = [field.name for field in kind if _is_binary(field.type)]
        lengths = [_lengths(pc.struct_field(column, name)) for name in inner]
        return np.asarray(sum(lengths), np.int64)
    found = pc.fill_null(pc.binary_length(column).cast(pa.int64()), 0)
    return np.asarray(found.to_numpy(), np.int64)


def member_sizes(table: pa.Table) -> Sizes:
    """Bytes of the members of a tar that rows name, ``[N]``; 0 where they name none."""
    sizes = np.zeros(table.num_rows, np.int64)
    for name in AUDIO_COLUMNS:
        if name in table.column_names and holds_text(table.schema.field(name).type):
            found = pc.struct_field(pc.extract_regex(table[name], _MEMBER), "size")
            sizes += np.asarray(pc.fill_null(found.cast(pa.int64()), 0).to_numpy(), np.int64)
    return sizes


@dataclass(frozen=True)
class GroupSizes:
    """What columns of a file that are not read hold.

    Attributes:
        ends: rows up to the end of each row group, ``[G]``.
        averages: bytes of a row of each, ``[G]``.
    """

    ends: Sizes
    averages: Sizes

    @staticmethod
    def of_nothing() -> GroupSizes:
        """Of a file all of which is read."""
        return GroupSizes(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def of(self, start: int, stop: int) -> Sizes:
        """Bytes of some rows, ``[stop - start]``: the average of their row group."""
        if not self.averages.any():
            return np.zeros(stop - start, np.int64)
        groups = np.searchsorted(self.ends, np.arange(start, stop), side="right")
        return self.averages[np.minimum(groups, len(self.averages) - 1)]


def group_sizes_of(uri: str, identity: str, rows: int, read: Set[str]) -> GroupSizes:
    """What the columns of a Parquet or Arrow file hold that may be sounds and are not read.

    Args:
        uri: of the file.
        identity: its size and what else tells it from another, see `Source`.
        rows: how many it has.
        read: names of its columns that are read.

    Raises:
        OSError: storage did not answer.
    """
    if uri.endswith(".arrow"):  # which tells no sizes of columns
        size = identity.partition(":")[0]
        average = int(size) // max(rows, 1) if size.isdigit() else 0
        return GroupSizes(np.array([rows], np.int64), np.array([average], np.int64))
    with open_parquet(uri) as file:
        fields = plain_schema(file.schema_arrow)
        names = [field.name for field in fields if is_sound(field) and field.name not in read]
        if not names:
            return GroupSizes.of_nothing()
        sizes = [group_sizes(file.metadata, group, names) for group in range(file.num_row_groups)]
    counts = np.array([count for count, _, _ in sizes], np.int64)
    unpacked = np.array([size for _, _, size in sizes], np.int64)
    return GroupSizes(np.cumsum(counts), unpacked // np.maximum(counts, 1))
