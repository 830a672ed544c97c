"""Codec encoding: waves to reasoning and reconstruction codes, segments of many rows in a batch."""

from __future__ import annotations

import pyarrow as pa

from actors.model_source import local_model
from actors.table import alive, read_codes, read_wave, write_codes
from uniaudio2.model import UniAudio2


class Encoder:
    """Replace the `wave` column by the two codes columns.

    Args:
        model: what `local_model` takes.
        segments_per_batch: segments that go through the encoders at once.
        threads: CPU threads of this actor; None leaves torch's choice.
    """

    def __init__(self, model: str, segments_per_batch: int = 6, threads: int | None = None) -> None:
        self.model = UniAudio2.load(local_model(model), parts=("encoder",), threads=threads)
        self.segments_per_batch = segments_per_batch

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode the rows that are still good and bring no codes of their own."""
        brought = {row: read_codes(table, row) for row in alive(table)}
        given = {row: codes for row, codes in brought.items() if len(codes.recon)}
        rows = [row for row in alive(table) if row not in given]
        clips = [read_wave(table, "wave", row) for row in rows]
        made = self.model.encode(clips, segments_per_batch=self.segments_per_batch)
        table = write_codes(table, given | dict(zip(rows, made, strict=True)))
        return table.drop_columns(["wave"])
