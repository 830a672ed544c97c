"""Sample rates: torchaudio's windowed sinc at its defaults, as the published tokenizer has it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr
import torch
import torchaudio
from torch import Tensor

SAMPLE_RATE = 24_000
_CHUNK_SAMPLES = 1 << 22
_MAX_KERNEL_VALUES = 20_000_000


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


def joined(pieces: Iterable[Tensor], expected: int) -> Tensor:
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
    return joined(resampled([wave], rate, target), -(-len(wave) * target // rate))


def resampled(blocks: Iterable[Tensor], rate: int, target: int = SAMPLE_RATE) -> Iterable[Tensor]:
    """Change the sample rate of a mono wave that comes in blocks, each ``[N]`` float32."""
    if rate == target:
        return blocks
    chunks = _in_chunks if _has_filter_bank(rate, target) else _by_soxr
    return chunks(blocks, rate, target)


def seconds(samples: int) -> float:
    """Duration of so many samples at the working rate."""
    return samples / SAMPLE_RATE
