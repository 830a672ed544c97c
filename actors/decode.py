"""Flow-matching decoding: reconstruction codes to waves, windows of many rows in a batch."""

from __future__ import annotations

import pyarrow as pa
import torch
from torch import Tensor

from actors.model_source import local_model
from actors.table import (
    WAVE_TYPE,
    alive,
    each_row,
    mark_errors,
    read_codes,
    set_column,
    wave_column,
)
from uniaudio2.budget import Budget, calibrate
from uniaudio2.codes import Codes
from uniaudio2.config import CODEBOOKS, Windows
from uniaudio2.errors import BadRow
from uniaudio2.model import UniAudio2
from uniaudio2.seeds import row_seed

_MOST_WINDOWS = 256


class Decoder:
    """Add the `output_wave` column.

    Args:
        model: what `local_model` takes.
        seed: the job's seed.
        steps: Euler steps; None for the model's own number.
        guidance: guidance scale; None for the model's own.
        compat: the published window arithmetic.
        windows: "whole" as published, or "fitted"; None for the model's own.
        batch: whole windows, or as many frames of cut ones, that go through the flow transformer
            at once; None measures what serves this machine best.
        threads: CPU threads of this actor; None leaves torch's choice.

    Attributes:
        budget: `batch`, less where memory ran out.
    """

    def __init__(
        self,
        model: str,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        compat: bool = False,
        windows: Windows | None = None,
        batch: int | None = 8,
        threads: int | None = None,
    ) -> None:
        self.model = UniAudio2.load(local_model(model), parts=("decoder",), threads=threads)
        self.seed = seed
        self.steps = steps
        self.guidance = guidance
        self.compat = compat
        self.windows = windows
        self.budget = Budget(batch if batch else calibrate(self._decode_hum, _MOST_WINDOWS))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Decode the rows that are still good; a reconstruction is cut to its input's length."""
        codes, errors = each_row(alive(table), lambda row: self._checked(table, row))
        ids = table.column("id").to_pylist()
        waves = self.model.decode(
            list(codes.values()),
            seeds=[row_seed(self.seed, ids[row]) for row in codes],
            steps=self.steps,
            guidance=self.guidance,
            compat=self.compat,
            windows=self.windows,
            windows_per_batch=self.budget,
        )
        by_row = self._cut(table, dict(zip(codes, waves, strict=True)))
        table = mark_errors(table, "decode", errors)
        if by_row:
            return set_column(table, "output_wave", wave_column(by_row, table.num_rows))
        return set_column(table, "output_wave", pa.nulls(table.num_rows, WAVE_TYPE))

    def _decode_hum(self, windows: int) -> None:
        hum = torch.zeros(self.model.config.flow.window_codes, CODEBOOKS, dtype=torch.int64)
        codes = Codes(hum[:0], hum)
        self.model.decode([codes] * windows, [0] * windows, steps=1, windows_per_batch=windows)

    def _checked(self, table: pa.Table, row: int) -> Codes:
        codes = read_codes(table, row)
        if len(codes.recon) == 0:
            raise BadRow(
                "nothing_generated",
                "0 reconstruction frames came out; raise sampling.max_frames or change the seed",
            )
        try:
            self.model.check_codes(codes)
        except ValueError as fault:
            raise BadRow("bad_codes", str(fault)) from fault
        return codes

    @staticmethod
    def _cut(table: pa.Table, waves: dict[int, Tensor]) -> dict[int, Tensor]:
        """Decoding yields whole codes; where the input's length is known, that is the length."""
        if "input_samples" not in table.column_names or "finish_reason" in table.column_names:
            return waves
        samples = table.column("input_samples").to_pylist()
        cut: dict[int, Tensor] = {}
        for row, wave in waves.items():
            if samples[row] is None:  # it came as codes
                cut[row] = wave
                continue
            short = max(samples[row] - len(wave), 0)
            cut[row] = torch.nn.functional.pad(wave[: samples[row]], (0, short))
        return cut
