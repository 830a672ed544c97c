"""Waves for the codec: clips one after another, sometimes quieter, noisy or reverberant."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.training.data.corpus import Clip
from uniaudio2.training.data.domain import symbols_of

_NOISY, _REVERBERANT, _SHIFTED = 0.25, 0.1, 0.15
_SPEECH_SHARE = 0.75


@dataclass(frozen=True)
class PackedSegment:
    """A segment's wave ``[N]``, the symbols in it, and how many samples they cover."""

    wave: Tensor
    symbols: list[int]
    covered: int


def augment(wave: Tensor, rng: random.Random) -> Tensor:
    """Change the level of a wave ``[N]``; sometimes add light noise or light reverberation."""
    wave = wave * 10 ** (rng.uniform(-10, 3) / 20)
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    if rng.random() < _REVERBERANT:
        length = round(rng.uniform(0.05, 0.25) * SAMPLE_RATE)
        decay = torch.exp(-5 * torch.arange(length) / length)
        echo = torch.randn(length, generator=generator) * decay
        echo = echo / echo.norm() * rng.uniform(0.1, 0.5)
        echo[0] = 1.0
        size = len(wave) + length
        wet = torch.fft.irfft(torch.fft.rfft(wave, size) * torch.fft.rfft(echo, size), size)
        wave = wet[: len(wave)]
    if rng.random() < _NOISY:
        level = wave.square().mean().sqrt() * 10 ** (-rng.uniform(15, 40) / 20)
        wave = wave + level * torch.randn(len(wave), generator=generator)
    return wave.clamp(-1, 1)


def pack(
    speech: Sequence[Clip], sounds: Sequence[Clip], rng: random.Random, samples: int
) -> PackedSegment:
    """Fill a segment with clips; what is left repeats its start, as the codec's segments do.

    A few segments start anywhere, as the later segments of long clips do; those name no symbols,
    because they are cut.
    """
    waves: list[Tensor] = []
    symbols: list[int] = []
    covered = 0
    while True:
        clip = rng.choice(speech if rng.random() < _SPEECH_SHARE else sounds)
        if waves and covered + clip.samples > samples:
            break
        waves.append(clip.wave())
        covered += clip.samples
        if covered <= samples:
            symbols += symbols_of(clip.text)
    wave = torch.cat(waves)
    wave = wave.repeat(-(-samples // len(wave)))
    if covered > samples or rng.random() < _SHIFTED:
        start = rng.randrange(covered)
        return PackedSegment(augment(wave.roll(-start)[:samples], rng), [], 0)
    return PackedSegment(augment(wave[:samples], rng), symbols, covered)
