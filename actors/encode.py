"""Codec encoding: waves to reasoning and reconstruction codes, segments of many rows in a batch."""

from __future__ import annotations

import pyarrow as pa
import torch

from actors.other_audio import encode_others
from actors.table import alive, read_wave, write_codes
from uniaudio2.budget import Budget, calibrate
from uniaudio2.config import Context
from uniaudio2.model import UniAudio2

_MOST_SEGMENTS = 256


class Encoder:
    """Replace the `wave` column by the two codes columns.

    Args:
        model: what `UniAudio2.load` takes.
        batch: whole segments, or as many samples of cut ones, that go through the encoders at
            once; None measures what serves this machine best.
        context: "periodic" as published, or "tight".
        threads: CPU threads of this actor; None leaves torch's choice.

    Attributes:
        budget: `batch`, less where memory ran out.
    """

    def __init__(
        self,
        model: str,
        batch: int | None = 6,
        context: Context = "periodic",
        threads: int | None = None,
    ) -> None:
        self.model = UniAudio2.load(model, parts=("encoder",), threads=threads)
        self.context = context
        self.budget = Budget(batch if batch else calibrate(self._encode_silence, _MOST_SEGMENTS))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode the rows that are still good."""
        rows = alive(table)
        clips = [read_wave(table, "wave", row) for row in rows]
        codes = self.model.encode(clips, segments_per_batch=self.budget, context=self.context)
        table = write_codes(table, dict(zip(rows, codes, strict=True)))
        table = encode_others(
            table,
            lambda waves: self.model.encode(
                waves, segments_per_batch=self.budget, context=self.context
            ),
        )
        return table.drop_columns(["wave"])

    def _encode_silence(self, segments: int) -> None:
        codec = self.model.config.codec
        segment = torch.zeros(codec.segment_frames * codec.frame_samples - 1)
        self.model.encode([segment] * segments, segments_per_batch=segments)
