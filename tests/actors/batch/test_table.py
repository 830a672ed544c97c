"""The travelling table keeps every row, its codes and its errors."""

from __future__ import annotations

import pyarrow as pa
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.schema import WAVE_TYPE
from actors.batch.table import (
    alive,
    codes_column,
    each_row,
    mark_errors,
    read_codes,
    read_wave,
    start_table,
    wave_column,
    write_codes,
)
from uniaudio2.errors import BadRow
from uniaudio2.tokens.codes import Codes


def table_of(count: int) -> pa.Table:
    return start_table([f"r{i}" for i in range(count)], pa.array([{"x": 1}] * count), unit=3)


@given(
    lengths=st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=1, max_size=6),
    skip=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_codes_survive_the_column_and_its_slices(lengths: list[int | None], skip: int) -> None:
    codes = {
        row: Codes(torch.randint(0, 65_536, (n, 8)), torch.randint(0, 65_536, (n + 1, 8)))
        for row, n in enumerate(lengths)
        if n is not None
    }
    table = write_codes(table_of(len(lengths)), codes)
    skip = min(skip, len(lengths) - 1)
    for row in range(skip, len(lengths)):
        got = read_codes(table.slice(skip), row - skip)
        want = codes.get(row, Codes.empty())
        assert torch.equal(got.reason, want.reason)
        assert torch.equal(got.recon, want.recon)


def test_codes_are_time_first_lists_of_eight() -> None:
    column = codes_column({0: torch.arange(16).reshape(2, 8)}, 1)
    assert column.to_pylist() == [[list(range(8)), list(range(8, 16))]]
    assert str(column.type) == "list<item: fixed_size_list<item: uint16>[8]>"


def test_a_failed_row_keeps_its_place() -> None:
    table = mark_errors(table_of(3), "load", {1: BadRow("empty_text", "say something")})
    table = mark_errors(table, "decode", {2: BadRow("bad_codes", "no")})
    assert alive(table) == [0]
    assert table.column("error_stage").to_pylist() == [None, "load", "decode"]
    assert table.column("error_message").to_pylist() == [None, "say something", "no"]


def test_only_bad_rows_are_kept_apart() -> None:
    def work(row: int) -> int:
        if row == 1:
            raise BadRow("k", "m")
        return row * 10

    results, errors = each_row(range(3), work)
    assert results == {0: 0, 2: 20}
    assert errors[1].kind == "k"


def test_waves_survive() -> None:
    wave = torch.randn(1000)
    table = table_of(2).append_column("wave", wave_column({1: wave}, 2))
    assert torch.equal(read_wave(table, "wave", 1), wave)
    assert not table.column("wave")[0].is_valid


@given(st.lists(st.none() | st.integers(0, 5), max_size=6))
def test_a_wave_column_holds_the_bytes_of_each_wave_and_null_elsewhere(
    lengths: list[int | None],
) -> None:
    waves = {row: torch.randn(size) for row, size in enumerate(lengths) if size is not None}
    column = wave_column(waves, len(lengths))
    column.validate(full=True)
    cells = [waves[row].numpy().tobytes() if row in waves else None for row in range(len(lengths))]
    assert column.equals(pa.array(cells, WAVE_TYPE))
