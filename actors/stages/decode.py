"""Flow-matching decoding: reconstruction codes to waves, windows of many rows in a batch."""

from __future__ import annotations

import pyarrow as pa
import torch
from torch import Tensor

from actors.batch.names import (
    FINISH_REASON,
    ID,
    INPUT_SAMPLES,
    OUTPUT_WAVE,
    PASSAGES,
    RECON_CODES,
)
from actors.batch.schema import PASSAGES_TYPE
from actors.batch.table import (
    alive,
    each_row,
    job_seeds,
    mark_errors,
    read_codes,
    scatter,
    set_column,
    sound_suffixes,
    wave_column,
)
from actors.speech.passages import (
    Cells,
    joined_passages,
    purpose_of,
    read_passages,
    split_codes,
)
from actors.stages.calibration import calibrated
from actors.storage.model_source import local_model
from uniaudio2.checkpoint.folders import model_fingerprint
from uniaudio2.config import CODEBOOKS, Windows
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.precision import EXACT, Precision
from uniaudio2.seeds import row_seed
from uniaudio2.tasks.spec import MOST_SOUNDS
from uniaudio2.tokens.codes import Codes

_MOST_WINDOWS = 256


def _has_sound(table: pa.Table, suffix: str) -> bool:
    return not suffix or f"{RECON_CODES}{suffix}" in table.column_names


class Decoder:
    """Add the `output_wave` column, and one more for every further sound of a row.

    Args:
        model: what `local_model` takes.
        seed: the job's seed.
        steps: Euler steps; None for the model's own number.
        guidance: guidance scale; None for the model's own.
        compat: the published window arithmetic.
        windows: "whole" as published, or "fitted"; None for the model's own.
        batch: whole windows, or as many frames of cut ones, that go through the flow transformer
            at once; None measures what serves this machine best.
        precision: what the flow transformer multiplies.
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
        precision: Precision = EXACT,
        threads: int | None = None,
    ) -> None:
        self.model = UniAudio2.load(
            local_model(model), parts=("decoder",), threads=threads, precision=precision
        )
        self.seed = seed
        self.steps = steps
        self.guidance = guidance
        self.compat = compat
        self.windows = windows
        fingerprint = f"{model_fingerprint(self.model.config)}:{precision}"
        self.budget = Budget(
            batch or calibrated("decode", fingerprint, self._decode_hum, _MOST_WINDOWS)
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Decode the rows that are still good; a reconstruction is cut to its input's length."""
        suffixes = [one for one in sound_suffixes(MOST_SOUNDS) if _has_sound(table, one)]

        passages = {row: read_passages(table, row) for row in alive(table)}

        def read(row: int) -> list[Codes]:
            whole = [self._checked(table, row, suffix) for suffix in suffixes]
            return split_codes(whole[0], passages[row]) if passages[row] else whole

        codes, errors = each_row(passages, read)
        ids, job = table.column(ID).to_pylist(), job_seeds(table, self.seed)
        waves = iter(
            self.model.decode(
                [one for sounds in codes.values() for one in sounds],
                # the first sound's noise does not depend on whether there are others
                seeds=[
                    row_seed(job[row], ids[row], one)
                    for row, own in codes.items()
                    for one in ([*map(purpose_of, range(len(own)))] if passages[row] else suffixes)
                ],
                steps=self.steps,
                guidance=self.guidance,
                compat=self.compat,
                windows=self.windows,
                windows_per_batch=self.budget,
            )
        )
        decoded = {row: [next(waves) for _ in own] for row, own in codes.items()}
        del waves  # it holds them all, also those of passages that are joined
        table = mark_errors(table, "decode", errors)
        table = self._joined(table, decoded, passages)
        for place, suffix in enumerate(suffixes):
            sounds = {row: own[place] for row, own in decoded.items()}
            column = wave_column(self._cut(table, sounds), table.num_rows)
            table = set_column(table, f"{OUTPUT_WAVE}{suffix}", column)
        return table

    @staticmethod
    def _joined(
        table: pa.Table, decoded: dict[int, list[Tensor]], passages: dict[int, Cells | None]
    ) -> pa.Table:
        """Put one wave in the place of those of passages, and where they lie in it in the table."""
        told = dict(passages)
        for row, waves in decoded.items():
            if cells := passages[row]:
                wave, told[row] = joined_passages(waves, cells)
                decoded[row] = [wave]
        if not any(told.values()):
            return table
        return set_column(table, PASSAGES, scatter(told, table.num_rows, PASSAGES_TYPE))

    def _decode_hum(self, windows: int) -> None:
        hum = torch.zeros(self.model.config.flow.window_codes, CODEBOOKS, dtype=torch.int64)
        codes = Codes(hum[:0], hum)
        self.model.decode([codes] * windows, [0] * windows, steps=1, windows_per_batch=windows)

    def _checked(self, table: pa.Table, row: int, suffix: str) -> Codes:
        codes = read_codes(table, row, suffix)
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
        if INPUT_SAMPLES not in table.column_names or FINISH_REASON in table.column_names:
            return waves
        samples = table.column(INPUT_SAMPLES).to_pylist()
        cut: dict[int, Tensor] = {}
        for row, wave in waves.items():
            if samples[row] is None:  # it came as codes
                cut[row] = wave
                continue
            short = max(samples[row] - len(wave), 0)
            cut[row] = torch.nn.functional.pad(wave[: samples[row]], (0, short))
        return cut
