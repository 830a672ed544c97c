"""Encoded audio to mono 24 kHz float32 and back.

Decoding is libsndfile's (WAV, FLAC, OGG, MP3 and more); resampling is torchaudio's windowed sinc
at its defaults, as the published tokenizer does it.
"""

from __future__ import annotations

import functools
import io
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
import torchaudio
from torch import Tensor

from uniaudio2.errors import BadRow

SAMPLE_RATE = 24_000
MAX_DURATION_S = 3600.0
_BLOCK_VALUES = 1 << 20
_MAX_KERNEL_VALUES = 20_000_000
_MAX_CHANNELS = 1024

FloatArray = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=8)
def _resampler(rate: int, target: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, target)


def resample(wave: Tensor, rate: int, target: int = SAMPLE_RATE) -> Tensor:
    """Change the sample rate of a mono wave.

    Rates whose ratio would need a filter bank of gigabytes (44 101 Hz, say) go through soxr.

    Args:
        wave: ``[N]`` float32.
        rate: its rate in Hz.
        target: the wanted rate in Hz.

    Returns:
        ``[ceil(N * target / rate)]`` float32.
    """
    if rate == target:
        return wave
    common = math.gcd(rate, target)
    width = 12 * max(rate, target) // min(rate, target) + rate // common
    if width * (target // common) <= _MAX_KERNEL_VALUES:
        resampled: Tensor = _resampler(rate, target)(wave)
        return resampled
    length = -(-wave.shape[0] * target // rate)
    resampled = torch.from_numpy(soxr.resample(wave.numpy(), rate, target))
    return torch.nn.functional.pad(resampled, (0, length - resampled.shape[0]))


def _read_mono(file: soundfile.SoundFile, frames: int) -> FloatArray:
    """Read `frames` frames in blocks, averaging the channels as they come."""
    block_frames = max(1, _BLOCK_VALUES // file.channels)
    pieces: list[FloatArray] = []
    while frames > 0:
        block = file.read(min(frames, block_frames), dtype="float32", always_2d=True)
        if not len(block):
            break
        pieces.append(block.mean(axis=1, dtype=np.float32) if file.channels > 1 else block[:, 0])
        frames -= len(block)
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)


def _check_header(file: soundfile.SoundFile) -> None:
    if not 1 <= file.samplerate <= 1_000_000 or not 1 <= file.channels <= _MAX_CHANNELS:
        raise BadRow(
            "unreadable_audio",
            f"header claims {file.samplerate} Hz and {file.channels} channels; 1 to 1000000 Hz "
            f"and 1 to {_MAX_CHANNELS} channels can be read; convert the file",
        )


def _span(
    file: soundfile.SoundFile, start_s: float, end_s: float | None, max_duration_s: float
) -> tuple[int, int]:
    """First frame and number of frames of the wanted span, checked against the file."""
    length_s = file.frames / file.samplerate
    stop_s = length_s if end_s is None else min(end_s, length_s)
    if not 0 <= start_s < max(stop_s, 1e-9):
        if file.frames == 0:
            raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
        raise BadRow(
            "bad_span",
            f"span {start_s} s to {end_s} s does not lie in a file of {length_s:.3f} s; "
            "correct start_s and end_s",
        )
    if stop_s - start_s > max_duration_s:
        raise BadRow(
            "too_long",
            f"{stop_s - start_s:.1f} s of audio; the limit is {max_duration_s:.0f} s a row; "
            "cut it with start_s and end_s, or raise load.max_duration_s",
        )
    first = round(start_s * file.samplerate)
    return first, max(round(stop_s * file.samplerate) - first, 0)


def decode_audio(
    data: bytes,
    start_s: float = 0.0,
    end_s: float | None = None,
    max_duration_s: float = MAX_DURATION_S,
) -> Tensor:
    """Decode the bytes of an audio file to mono 24 kHz.

    Args:
        data: a whole file of any format that libsndfile reads.
        start_s: first second of the span to keep.
        end_s: end of the span, or None for the end of the file.
        max_duration_s: longest span that is accepted.

    Returns:
        ``[N]`` float32, all channels averaged.

    Raises:
        BadRow: `unreadable_audio`, `empty_audio`, `non_finite_audio`, `bad_span` or `too_long`.
    """
    if not data:
        raise BadRow("empty_audio", "the file is 0 bytes long; give a file with audio")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file)
            first, frames = _span(file, start_s, end_s, max_duration_s)
            file.seek(first)
            mono, rate = _read_mono(file, frames), int(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as fault:
        raise BadRow(
            "unreadable_audio",
            f"{str(fault).strip()} ({len(data)} bytes beginning {data[:8]!r}); "
            "WAV, FLAC, OGG and MP3 can be read",
        ) from fault
    if not len(mono):
        raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
    if not np.isfinite(mono).all():
        count = int((~np.isfinite(mono)).sum())
        raise BadRow("non_finite_audio", f"{count} samples are NaN or infinite; repair the file")
    return resample(torch.from_numpy(mono), rate)


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
