"""Encoding: rows that bring codes are left as they are."""

from __future__ import annotations

import functools

import pyarrow as pa
import torch

from actors.encode import Encoder
from actors.table import read_codes, start_table, wave_column, write_codes
from tests.conftest import tone
from uniaudio2.codes import Codes


@functools.cache
def encoder() -> Encoder:
    return Encoder("tiny", segments_per_batch=2)


def test_rows_with_codes_are_not_encoded() -> None:
    brought = Codes(torch.full((1, 8), 3), torch.full((2, 8), 4))
    clip = torch.from_numpy(tone(0.3))
    table = start_table(["a", "b"], pa.array([{"x": 1}] * 2), 0)
    table = table.append_column("wave", wave_column({1: clip}, 2))
    result = encoder()(write_codes(table, {0: brought}))
    assert "wave" not in result.column_names
    assert torch.equal(read_codes(result, 0).recon, brought.recon)
    assert torch.equal(read_codes(result, 0).reason, brought.reason)
    (alone,) = encoder().model.encode([clip])
    assert torch.equal(read_codes(result, 1).recon, alone.recon)
