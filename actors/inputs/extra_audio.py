"""The audio columns of a task beside `audio`: loaded and encoded like it, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.batch.names import REFERENCE_FAULT, WAVE
from actors.batch.sample_arrays import audio_cell
from actors.batch.table import (
    alive,
    each_row,
    mark_errors,
    read_wave,
    scatter,
    set_column,
    wave_column,
    write_codes,
)
from uniaudio2.errors import BadRow
from uniaudio2.tasks.spec import REFERENCE
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from torch import Tensor

_PREFIX = f"{WAVE}:"
_THREADS = 4

LoadOne = Callable[[object], "Tensor"]
EncodeAll = Callable[[Sequence["Tensor"]], Sequence[Codes]]


def load_extra_audio(
    table: pa.Table, raw: pa.Table, names: Sequence[str], load: LoadOne
) -> pa.Table:
    """Add a column of waves for each of the columns; a row that fails gets its error, or where that
    audio is only compared a word on it in `reference_fault`.

    Args:
        table: the unit's rows.
        raw: the same rows as the manifest has them.
        names: audio columns.
        load: makes a wave of a cell's value.
    """
    for name in names:
        absent = pa.nulls(raw.num_rows)  # one file of several may lack it
        cells = raw.column(name) if name in raw.column_names else absent

        def work(row: int, name: str = name, cells: pa.ChunkedArray = cells) -> Tensor:
            try:
                return load(audio_cell(cells[row]))
            except BadRow as error:
                raise BadRow(error.kind, f"column {name!r}: {error.message}") from error

        with ThreadPoolExecutor(_THREADS) as pool:
            futures = {row: pool.submit(work, row) for row in alive(table)}
            waves, errors = each_row(futures, lambda row: futures[row].result())  # noqa: B023 - called within this turn
        if name == REFERENCE:
            faults = {row: one.message for row, one in errors.items()}
            column = scatter(faults, table.num_rows, pa.string())
            table = set_column(table, REFERENCE_FAULT, column)
        else:
            table = mark_errors(table, "load", errors)
        table = table.append_column(wave_of(name), wave_column(waves, table.num_rows))
    return table


def encode_extra_audio(table: pa.Table, encode: EncodeAll) -> pa.Table:
    """Replace the columns of `load_extra_audio` by codes columns with the suffix ``:NAME``."""
    for column in [name for name in table.column_names if name.startswith(_PREFIX)]:
        rows = alive(table)
        codes = encode([read_wave(table, column, row) for row in rows])
        suffix = extra_suffix(column.removeprefix(_PREFIX))
        table = write_codes(table, dict(zip(rows, codes, strict=True)), suffix)
        table = table.drop_columns([column])
    return table


def wave_of(name: str) -> str:
    """The column of such a column's waves, between loading and encoding."""
    return _PREFIX + name


def extra_suffix(name: str) -> str:
    """Suffix of the names of such a column's codes."""
    return f":{name}"
