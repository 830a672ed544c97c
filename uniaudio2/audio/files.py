"""Encoded audio to mono 24 kHz float32 and back.

Which decoder reads what is the matter of `uniaudio2.audio.decoders`; resampling is torchaudio's
windowed sinc at its defaults, as the published tokenizer does it.
"""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from uniaudio2.audio.limits import MAX_DURATION_S
from uniaudio2.audio.mixing import Channel
from uniaudio2.audio.resampling import SAMPLE_RATE, joined, resample, resampled
from uniaudio2.audio.stream import AudioStream, finite
from uniaudio2.errors import BadRow

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE_S = 60.0  # longer waves are resampled in pieces, the file's samples are not kept
UNKNOWN = 1 << 62


def decode_audio(
    data: bytes,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_duration_s: float = MAX_DURATION_S,
    channel: Channel | None = None,
) -> Tensor:
    """Decode the bytes of an audio file to mono 24 kHz.

    Args:
        data: a whole file of any format of docs/audio-formats.md.
        start_s: first second of the span to keep.
        end_s: end of the span, or None for the end of the file.
        max_duration_s: longest span that is accepted.
        channel: the one channel to take, see `Downmix`; None mixes all.

    Returns:
        ``[N]`` float32, mono.

    Raises:
        BadRow: what `AudioStream` finds.
    """
    with AudioStream(io.BytesIO(data), start_s, end_s, max_duration_s, channel) as stream:
        return whole(stream)


def whole(stream: AudioStream) -> Tensor:
    """All blocks of a stream as one wave, ``[N]`` float32 at 24 kHz.

    Where its channels cancel it is read again, one of them alone.

    Raises:
        BadRow: what the stream finds.
    """
    wave = _read(stream)
    if (channel := stream.stronger) is None:
        return wave
    stream.take(channel)
    return _read(stream)


def _read(stream: AudioStream) -> Tensor:
    blocks, held, samples = stream.native(), [], 0
    for block in blocks:
        held.append(block)
        samples += len(block)
        if samples > AT_ONCE_S * stream.rate:
            rest = resampled(chain(held, blocks), stream.rate)
            return joined(map(finite, rest), stream.samples or UNKNOWN)
    return finite(resample(joined(held, samples), stream.rate))


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
    return encode_samples(wave.numpy(), file_format, rate)


def encode_samples(
    wave: npt.NDArray[np.float32],
    file_format: Literal["flac", "wav"] = "flac",
    rate: int = SAMPLE_RATE,
) -> bytes:
    """The same of samples that are in no tensor, without torch."""
    if wave.size == 0 or not np.isfinite(wave).all():
        raise BadRow(
            "invalid_output",
            f"the generated wave of {wave.size} samples is empty or not finite; "
            "check the model's weights and dtype",
        )
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(wave, -1.0, 1.0), rate, format=file_format.upper(), subtype="PCM_16"
    )
    return buffer.getvalue()
