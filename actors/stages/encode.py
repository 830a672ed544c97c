"""Codec encoding: waves to reasoning and reconstruction codes, segments of many rows in a batch."""

from __future__ import annotations

from itertools import islice

import pyarrow as pa
import torch
from torch import Tensor

from actors.batch.names import SOURCE, VOICE, WAVE
from actors.batch.table import alive, each_row, mark_errors, read_codes, write_codes
from actors.inputs.audio import LoadedAudio
from actors.inputs.audio_columns import read_loaded
from actors.inputs.extra_audio import encode_extra_audio
from actors.inputs.prefetch import prefetched
from actors.speech.voices import PerVoice, Voices
from actors.stages.calibration import calibrated
from actors.storage.model_source import local_model
from actors.timing.heard_levels import HeardLevels
from uniaudio2.audio.spans import cut_spans
from uniaudio2.checkpoint.folders import model_fingerprint
from uniaudio2.codec.segments import reason_frames, recon_frames
from uniaudio2.config import Padding
from uniaudio2.entrypoints.model import UniAudio2
from uniaudio2.errors import BadRow
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.precision import EXACT, Precision
from uniaudio2.tokens.codes import Codes

_MOST_SEGMENTS = 256
_MOST_VOICES = 1024  # kept as codes, a few kB each


class Encoder:
    """Replace the columns of loaded audio by the two codes columns.

    Args:
        model: what `local_model` takes.
        batch: whole segments, or as many samples of cut ones, that go through the encoders at
            once; None measures what serves this machine best.
        padding: "periodic" as published, or "tight".
        precision: what the encoders multiply.
        levels: tell how loud the audio is, too, for times of words.
        threads: CPU threads of this actor; None leaves torch's choice.
        keep_waves: leave the loaded audio in the table, for what compares it with the result.
        voices: of the job, in the place of audio of rows; each is fetched and encoded once.

    Attributes:
        budget: `batch`, less where memory ran out.
    """

    def __init__(
        self,
        model: str,
        batch: int | None = 6,
        padding: Padding = "periodic",
        precision: Precision = EXACT,
        levels: bool = False,
        threads: int | None = None,
        keep_waves: bool = False,
        voices: Voices | None = None,
    ) -> None:
        self.voices = PerVoice(voices, self._encode_all, _MOST_VOICES) if voices else None
        self.keep_waves = keep_waves
        self.model = UniAudio2.load(
            local_model(model), parts=("encoder",), threads=threads, precision=precision
        )
        self.padding = padding
        self.levels = levels
        fingerprint = f"{model_fingerprint(self.model.config)}:{precision}"
        self.budget = Budget(
            batch or calibrated("encode", fingerprint, self._encode_silence, _MOST_SEGMENTS)
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode the rows that are still good and bring no codes of their own."""
        if self.voices is not None:
            return self._with_voices(table, self.voices)
        brought = {row: read_codes(table, row) for row in alive(table)}
        codes = {row: own for row, own in brought.items() if len(own.recon)}
        loaded = {row: read_loaded(table, row) for row in brought if row not in codes}
        heard = HeardLevels(self.levels)
        codes |= self._encode_waves(loaded, heard)
        long = {row: one for row, one in loaded.items() if one.wave is None}
        streamed, errors = each_row(long, lambda row: self._encode_stream(row, long[row], heard))
        table = write_codes(mark_errors(table, "encode", errors), codes | streamed)
        table = heard.write(table)
        table = encode_extra_audio(
            table, lambda waves: self.model.encode(waves, self.budget, self.padding)
        )
        return table if self.keep_waves else table.drop_columns([WAVE, SOURCE])

    def _with_voices(self, table: pa.Table, voices: PerVoice[Codes]) -> pa.Table:
        """Give each row the codes of its voice."""
        names = table.column(VOICE).to_pylist()
        made = voices.of(names[row] for row in alive(table))

        def codes_of(row: int) -> Codes:
            found = made[names[row]]
            if isinstance(found, BadRow):
                raise found
            return found

        codes, errors = each_row(alive(table), codes_of)
        return write_codes(mark_errors(table, "encode", errors), codes)

    def _encode_all(self, waves: list[Tensor]) -> list[Codes]:
        return self.model.encode(waves, self.budget, self.padding)

    def _encode_waves(self, loaded: dict[int, LoadedAudio], heard: HeardLevels) -> dict[int, Codes]:
        """Encode what is in memory, the spans of all rows together."""
        clips = [
            (row, clip)
            for row, one in loaded.items()
            if one.wave is not None
            for clip in heard.listen(
                row, [one.wave] if one.spans is None else cut_spans([one.wave], one.spans)
            )
        ]
        made = self.model.encode([clip for _, clip in clips], self.budget, self.padding)
        by_row: dict[int, list[Codes]] = {row: [] for row in loaded if loaded[row].wave is not None}
        for (row, _), codes in zip(clips, made, strict=True):
            by_row[row].append(codes)
        return {row: Codes.join(own) for row, own in by_row.items()}

    def _encode_stream(self, row: int, one: LoadedAudio, heard: HeardLevels) -> Codes:
        """Encode long audio while it is read; memory does not grow with its length."""
        assert one.source is not None  # noqa: S101 - long audio has one
        with one.source.open() as stream, prefetched(stream.blocks()) as blocks:
            if one.spans is None:
                return self.model.encode_stream(blocks, one.samples, self.budget, self.padding)
            clips = heard.listen(row, cut_spans(blocks, one.spans))
            batches = iter(lambda: list(islice(clips, self.budget.fits(1.0))), [])
            made = (
                codes
                for batch in batches
                for codes in self.model.encode(batch, self.budget, self.padding)
            )
            codec, lengths = self.model.config.codec, [stop - start for start, stop in one.spans]
            return Codes.gather(
                made,
                sum(reason_frames(length, codec) for length in lengths),
                sum(recon_frames(length, codec) for length in lengths),
            )

    def _encode_silence(self, segments: int) -> None:
        codec = self.model.config.codec
        segment = torch.zeros(codec.segment_frames * codec.frame_samples - 1)
        self.model.encode([segment] * segments, segments_per_batch=segments)
