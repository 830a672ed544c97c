"""The Arrow table that travels: one unit of rows, with what each stage adds to them.

Every stage takes a table and returns one with the same rows in the same order. A row that failed
keeps its place with its error columns set, so that a unit can be counted at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.batch.names import (
    ATTEMPT,
    ERROR_COLUMNS,
    ERROR_KIND,
    ERROR_MESSAGE,
    ERROR_STAGE,
    FINGERPRINT,
    ID,
    INPUT,
    REASON_CODES,
    RECON_CODES,
    ROW,
    UNIT,
)
from actors.batch.schema import ATTEMPT_TYPE, CODES_TYPE, WAVE_TYPE
from uniaudio2.config import CODEBOOKS
from uniaudio2.errors import BadRow
from uniaudio2.lazily import torch
from uniaudio2.seeds import attempt_seed
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from torch import Tensor

_T = TypeVar("_T")


class Stage(Protocol):
    """Table in, table out: one callable per stage, ignorant of the cluster it runs on."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add this stage's columns to the rows that are still good."""
        ...


def alive(table: pa.Table) -> list[int]:
    """Numbers in the table of the rows that no stage has given up on."""
    kinds = table.column(ERROR_KIND)
    return [row for row in range(table.num_rows) if not kinds[row].is_valid]


def set_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Add a column, or replace the one of that name."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def mark_errors(table: pa.Table, stage: str, errors: Mapping[int, BadRow]) -> pa.Table:
    """Set the error columns of the rows that `stage` gives up on."""
    if not errors:
        return table
    news = {
        ERROR_STAGE: dict.fromkeys(errors, stage),
        ERROR_KIND: {row: error.kind for row, error in errors.items()},
        ERROR_MESSAGE: {row: error.message for row, error in errors.items()},
    }
    for name, changed in news.items():
        old = table.column(name).to_pylist()
        values = [changed.get(row, old[row]) for row in range(table.num_rows)]
        table = set_column(table, name, pa.array(values, pa.string()))
    return table


def each_row(
    rows: Iterable[int], work: Callable[[int], _T]
) -> tuple[dict[int, _T], dict[int, BadRow]]:
    """Do `work` row by row, keeping the bad rows apart; any other exception is a fault and rises.

    Returns:
        results by row, errors by row.
    """
    results: dict[int, _T] = {}
    errors: dict[int, BadRow] = {}
    for row in rows:
        try:
            results[row] = work(row)
        except BadRow as error:
            errors[row] = error
    return results, errors


def scatter(values: Mapping[int, Any], length: int, kind: pa.DataType) -> pa.Array:
    """A column with the given values at their rows and null elsewhere."""
    return pa.array([values.get(row) for row in range(length)], kind)


def _offsets(lengths: Sequence[int], kind: type[np.signedinteger[Any]]) -> np.ndarray:
    """Where each of some cells begins, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, dtype=kind)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def codes_column(values: Mapping[int, Tensor], length: int) -> pa.Array:
    """A codes column from ``[T, 8]`` tensors by row; rows without one are null."""
    lengths = [len(values[row]) if row in values else 0 for row in range(length)]
    present = [values[row] for row in range(length) if row in values]
    flat = torch.cat(present).reshape(-1).numpy() if present else np.zeros(0)
    frames = pa.FixedSizeListArray.from_arrays(pa.array(flat.astype(np.uint16)), CODEBOOKS)
    mask = pa.array([row not in values for row in range(length)])
    offsets = pa.array(_offsets(lengths, np.int32))
    return pa.ListArray.from_arrays(offsets, frames, type=CODES_TYPE, mask=mask)


def _codes_cell(table: pa.Table, name: str, row: int) -> Tensor:
    if name not in table.column_names or not table.column(name)[row].is_valid:
        return torch.zeros(0, CODEBOOKS, dtype=torch.int64)
    frames = table.column(name)[row].values  # fixed-size lists of one row
    flat = frames.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return torch.from_numpy(flat).reshape(-1, CODEBOOKS)  # [T, 8]


def sound_suffixes(sounds: int) -> list[str]:
    """What the names of a sound's columns end with: nothing for the first, ``_2`` and so on."""
    return ["" if number == 1 else f"_{number}" for number in range(1, sounds + 1)]


def read_codes(table: pa.Table, row: int, suffix: str = "") -> Codes:
    """The codes of a row; a stream that is absent or null comes back empty.

    Args:
        table: holds them.
        row: its number in the table.
        suffix: which codes: of `sound_suffixes`, or ``:NAME`` for another audio column.
    """
    return Codes(
        reason=_codes_cell(table, f"{REASON_CODES}{suffix}", row),
        recon=_codes_cell(table, f"{RECON_CODES}{suffix}", row),
    )


def write_codes(table: pa.Table, codes: Mapping[int, Codes], suffix: str = "") -> pa.Table:
    """Set both codes columns from the codes by row; `suffix` as of `read_codes`."""
    for name, stream in (
        (f"{REASON_CODES}{suffix}", {row: value.reason for row, value in codes.items()}),
        (f"{RECON_CODES}{suffix}", {row: value.recon for row, value in codes.items()}),
    ):
        table = set_column(table, name, codes_column(stream, table.num_rows))
    return table


def wave_column(values: Mapping[int, Tensor], length: int) -> pa.Array:
    """A column of float32 waves, stored as their bytes; rows without one are null.

    The samples are copied once: a task's memory is new, and touching it for the first time costs
    more than copying.
    """
    lengths = [values[row].nbytes if row in values else 0 for row in range(length)]
    present = [values[row] for row in range(length) if row in values]
    flat = torch.cat(present).numpy() if present else np.zeros(0, dtype=np.float32)
    there = np.array([row in values for row in range(length)], dtype=bool)
    buffers = (np.packbits(there, bitorder="little"), _offsets(lengths, np.int64), flat)
    return pa.LargeBinaryArray.from_buffers(WAVE_TYPE, length, [*map(pa.py_buffer, buffers)])


def read_wave(table: pa.Table, name: str, row: int) -> Tensor:
    """The wave of a row, ``[N]`` float32."""
    return torch.from_numpy(read_samples(table, name, row).copy())


def read_samples(table: pa.Table, name: str, row: int) -> npt.NDArray[np.float32]:
    """The wave of a row, ``[N]``, where it lies in the table: it cannot be written to."""
    return np.frombuffer(table.column(name)[row].as_buffer(), dtype=np.float32)


def start_table(
    ids: Sequence[str], inputs: pa.Array, unit: int, row: int | None = None, fingerprint: str = ""
) -> pa.Table:
    """The table that enters the stages.

    Args:
        ids: one id per row.
        inputs: the row's own columns, as one struct array (so that no name can collide).
        unit: the unit that all rows belong to.
        row: set when the table holds this row of the unit alone.
        fingerprint: of the unit's input rows.
    """
    count = len(ids)
    columns: dict[str, Any] = {
        UNIT: pa.array([unit] * count, pa.int64()),
        ROW: pa.array([row] * count, pa.int64()),
        FINGERPRINT: pa.array([fingerprint] * count, pa.string()),
        ID: pa.array(ids, pa.string()),
        INPUT: inputs,
    }
    columns.update({name: pa.nulls(count, pa.string()) for name in ERROR_COLUMNS})
    return pa.table(columns)


def attempt_column(attempts: Sequence[tuple[int, bytes, str]]) -> pa.Array:
    """The column that tells which attempt of a row this is: its number, the row's key, and the
    file that holds the best of those before."""
    names = ("number", "key", "earlier")
    rows = [dict(zip(names, one, strict=True)) for one in attempts]
    return pa.array(rows, ATTEMPT_TYPE)


def job_seeds(table: pa.Table, job_seed: int) -> list[int]:
    """What stands in the place of the job's seed for each row: a row that is made again has another
    one, see `attempt_seed`."""
    if ATTEMPT not in table.column_names:
        return [job_seed] * table.num_rows
    attempts = table.column(ATTEMPT).to_pylist()
    return [attempt_seed(job_seed, one["number"] if one else 0) for one in attempts]
