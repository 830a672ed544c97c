"""Encoded audio to mono 24 kHz float32 and back.

Decoding is libsndfile's (WAV, FLAC, OGG, MP3 and more); resampling is torchaudio's windowed sinc
at its defaults, as the published tokenizer does it.
"""

from __future__ import annotations

import io
from typing import Literal

import soundfile
import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE, joined
from uniaudio2.audio.stream import MAX_DURATION_S, AudioStream
from uniaudio2.errors import BadRow


def decode_audio(
    data: bytes,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_duration_s: float = MAX_DURATION_S,
    channel: int | None = None,
) -> Tensor:
    """Decode the bytes of an audio file to mono 24 kHz.

    Args:
        data: a whole file of any format that libsndfile reads.
        start_s: first second of the span to keep.
        end_s: end of the span, or None for the end of the file.
        max_duration_s: longest span that is accepted.
        channel: the one channel to take, counted from 0; None averages all.

    Returns:
        ``[N]`` float32, mono.

    Raises:
        BadRow: `unreadable_audio`, `empty_audio`, `non_finite_audio`, `bad_span` (also for a
            channel that is not there) or `too_long`.
    """
    with AudioStream(io.BytesIO(data), start_s, end_s, max_duration_s, channel) as stream:
        return whole(stream)


def whole(stream: AudioStream) -> Tensor:
    """All blocks of a stream as one wave, ``[N]`` float32 at 24 kHz.

    Raises:
        BadRow: `empty_audio`, or what the stream finds.
    """
    wave = joined(stream.blocks(), stream.samples)
    if not len(wave):
        raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
    return wave


def encode_audio(
    wave: Tensor, file_format: Literal["flac", "wav"] = "flac", rate: int = SAMPLE_RATE
) -> bytes:
    """Write a mono wave as a 16-bit file in memory; samples beyond ±1 are clipped.

    Args:
        wave: ``[N]`` float32.
        file_format: ``"flac"`` or ``"wav"``.
        rate: sample rate in Hz.

    Raises:
        BadRow: `invalid_output`, the wave is empty or holds NaN.
    """
    if wave.numel() == 0 or not bool(torch.isfinite(wave).all()):
        raise BadRow(
            "invalid_output",
            f"the generated wave of {wave.numel()} samples is empty or not finite; "
            "check the model's weights and dtype",
        )
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        wave.clamp(-1.0, 1.0).numpy(),
        rate,
        format=file_format.upper(),
        subtype="PCM_16",
    )
    return buffer.getvalue()
