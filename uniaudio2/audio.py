"""Encoded audio to mono 24 kHz float32 and back.

Decoding is libsndfile's (WAV, FLAC, OGG, MP3 and more); resampling is torchaudio's windowed sinc
at its defaults, as the published tokenizer does it.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Iterator
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
_CHUNK_SAMPLES = 1 << 22
_MAX_KERNEL_VALUES = 20_000_000
_MAX_CHANNELS = 1024
_MAX_RATE = 1_000_000
_NO_LENGTH = 1 << 62
_LOST_S = 0.1  # codecs with delay may give a little less than their header says

FloatArray = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=8)
def _resampler(rate: int, target: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, target)


def _has_filter_bank(rate: int, target: int) -> bool:
    """Tell whether the filter bank between two rates is of a sane size."""
    common = math.gcd(rate, target)
    width = 12 * max(rate, target) // min(rate, target) + rate // common
    return width * (target // common) <= _MAX_KERNEL_VALUES


def _in_chunks(blocks: Iterable[Tensor], rate: int, target: int) -> Iterator[Tensor]:
    """Resample a stream with torchaudio's filter, each chunk seeing its neighbours' samples.

    A chunk starts and ends where a period of both rates ends, so that the pieces are the samples
    that the whole wave would give.
    """
    transform = _resampler(rate, target)
    period, out_period = rate // math.gcd(rate, target), target // math.gcd(rate, target)
    context = -(-transform.width // period) * period
    chunk = max(_CHUNK_SAMPLES // max(period, out_period) * period, period)
    held, lead = torch.zeros(0), 0  # the first `lead` samples of `held` are done already
    for block in blocks:
        held = torch.cat([held, block])
        while len(held) >= lead + chunk + context:
            out = transform(held[: lead + chunk + context])
            yield out[lead // period * out_period :][: chunk // period * out_period]
            start = max(lead + chunk - context, 0)
            held, lead = held[start:].clone(), lead + chunk - start
    if len(held) > lead:
        yield transform(held)[lead // period * out_period :]


def _by_soxr(blocks: Iterable[Tensor], rate: int, target: int) -> Iterator[Tensor]:
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
    taken = given = 0
    for block in blocks:
        for piece in torch.split(block, max(_CHUNK_SAMPLES * rate // max(rate, target), 1)):
            taken += len(piece)
            out = torch.from_numpy(stream.resample_chunk(piece.numpy()))
            given += len(out)
            yield out
    rest = torch.from_numpy(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    left = -(-taken * target // rate) - given
    yield torch.nn.functional.pad(rest, (0, left - len(rest)))


def _joined(pieces: Iterable[Tensor], expected: int) -> Tensor:
    """One tensor of all pieces; `expected` is a header's word, so memory follows what comes."""
    whole = np.empty(min(expected, _CHUNK_SAMPLES), dtype=np.float32)
    filled = 0
    for piece in pieces:
        end = filled + len(piece)
        if end > len(whole):
            # large arrays grow where they are, without a second copy
            whole.resize(max(end, min(len(whole) * 5 // 4, expected)), refcheck=False)
        whole[filled:end] = piece.numpy()
        filled = end
    return torch.from_numpy(whole[:filled])


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
    return _joined(_resampled([wave], rate, target), -(-len(wave) * target // rate))


def _resampled(blocks: Iterable[Tensor], rate: int, target: int) -> Iterable[Tensor]:
    if rate == target:
        return blocks
    chunks = _in_chunks if _has_filter_bank(rate, target) else _by_soxr
    return chunks(blocks, rate, target)


def _mono_blocks(
    file: soundfile.SoundFile, frames: int, channel: int | None = None
) -> Iterator[Tensor]:
    """Read `frames` frames in blocks: one channel, or the average of all as they come."""
    block_frames = max(1, _BLOCK_VALUES // file.channels)
    left = frames
    while left > 0:
        block = file.read(min(left, block_frames), dtype="float32", always_2d=True)
        if not len(block):
            break
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            average = file.channels > 1 and channel is None
            mono = block.mean(axis=1, dtype=np.float32) if average else block[:, channel or 0]
        left -= len(block)
        yield torch.from_numpy(mono)
    if frames > left > _LOST_S * file.samplerate:
        raise BadRow(
            "unreadable_audio",
            f"the header announces {frames} samples and {frames - left} can be read; "
            "the file is cut or damaged: fetch it again",
        )


def _check_header(file: soundfile.SoundFile) -> None:
    if not 1 <= file.samplerate <= _MAX_RATE or not 1 <= file.channels <= _MAX_CHANNELS:
        raise BadRow(
            "unreadable_audio",
            f"header claims {file.samplerate} Hz and {file.channels} channels; 1 to {_MAX_RATE} Hz "
            f"and 1 to {_MAX_CHANNELS} channels can be read; convert the file",
        )
    if not 0 <= file.frames < _NO_LENGTH:
        raise BadRow(
            "unreadable_audio",
            "the header gives no length (as a stream's does); convert the file, which writes one",
        )


def _check_channel(channel: int | None, channels: int) -> None:
    if channel is not None and not 0 <= channel < channels:
        raise BadRow(
            "bad_span",
            f"channel {channel} of a file with {channels}; channels count from 0: correct "
            "audio_channel",
        )


def _span(
    file: soundfile.SoundFile, start_s: float, end_s: float | None, max_duration_s: float
) -> tuple[int, int]:
    """First frame and number of frames of the wanted span, checked against the file."""
    if file.frames == 0:
        raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
    length_s = file.frames / file.samplerate
    stop_s = length_s if end_s is None else min(end_s, length_s)
    if not 0 <= start_s < stop_s:
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
    if not data:
        raise BadRow("empty_audio", "the file is 0 bytes long; give a file with audio")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file)
            _check_channel(channel, file.channels)
            first, frames = _span(file, start_s, end_s, max_duration_s)
            file.seek(first)
            blocks = _mono_blocks(file, frames, channel)
            pieces = map(_finite, _resampled(blocks, file.samplerate, SAMPLE_RATE))
            wave = _joined(pieces, -(-frames * SAMPLE_RATE // file.samplerate))
    except (soundfile.SoundFileError, ValueError, OSError) as fault:
        raise BadRow(
            "unreadable_audio",
            f"{str(fault).strip()} ({len(data)} bytes beginning {data[:8]!r}); "
            "WAV, FLAC, OGG and MP3 can be read",
        ) from fault
    if not len(wave):
        raise BadRow("empty_audio", "the file holds no samples; give a file with audio")
    return wave


def _finite(wave: Tensor) -> Tensor:
    # a bad input sample reaches every output that its filter touches
    if not bool(torch.isfinite(wave).all()):
        raise BadRow("non_finite_audio", "some samples are NaN or infinite; repair the file")
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
