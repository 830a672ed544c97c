"""Sounds for training, made from their captions."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.training.data.domain import THEN

DURATIONS_S = (0.8, 1.5)
LEVELS_DBFS = (-18.0, -6.0)
_FADE_S = 0.005
_SWEEP_HZ = (200.0, 2000.0)


def _times(samples: int) -> Tensor:
    return torch.arange(samples) / SAMPLE_RATE


def _sine(hz: float, samples: int, phase: float = 0.0) -> Tensor:
    return torch.sin(2 * torch.pi * (hz * _times(samples) + phase))


def _tone(low_hz: float, high_hz: float) -> Callable[[random.Random, int], Tensor]:
    return lambda rng, samples: _sine(rng.uniform(low_hz, high_hz), samples)


def _sweep(rng: random.Random, samples: int, rising: bool) -> Tensor:
    """A linear or an exponential chirp."""
    low, high = (hz * rng.uniform(0.8, 1.2) for hz in _SWEEP_HZ)
    start, end = (low, high) if rising else (high, low)
    position = torch.linspace(0, 1, samples)
    if rng.random() < 0.5:
        hz = start + (end - start) * position
    else:
        hz = start * (end / start) ** position
    return torch.sin(2 * torch.pi * torch.cumsum(hz.double(), 0) / SAMPLE_RATE).float()


def _noise(rng: random.Random, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    if rng.random() < 0.5:
        return 2 * torch.rand(samples, generator=generator) - 1
    return 0.33 * torch.randn(samples, generator=generator)


def _clicks(rng: random.Random, samples: int) -> Tensor:
    """Pulses of 1 sample to 5 ms, flat, decaying or noisy, at an even rate."""
    wave = torch.zeros(samples)
    period = SAMPLE_RATE / rng.uniform(5, 15)
    length = rng.choice([1, 2, 24, 48, 120])
    pulse = torch.exp(-torch.arange(length) / (length * rng.uniform(0.2, 2.0)))
    if rng.random() < 0.3:
        pulse = pulse * _noise(rng, length)
    elif rng.random() < 0.4:
        pulse = pulse * _sine(rng.uniform(800, 3000), length, 0.25)
    start = rng.uniform(0, period) if rng.random() < 0.5 else 0.0
    while start < samples:
        place = wave[int(start) : int(start) + length]
        place += pulse[: len(place)]
        start += period
    return wave


def _chord(rng: random.Random, samples: int) -> Tensor:
    """A major triad, in just or in equal temperament."""
    root = rng.uniform(200, 400)
    ratios = rng.choice([(1.0, 1.25, 1.5), (1.0, 2 ** (4 / 12), 2 ** (7 / 12))])
    return sum((_sine(root * ratio, samples) for ratio in ratios), torch.zeros(samples))


_MAKERS: dict[str, Callable[[random.Random, int], Tensor]] = {
    "a low tone": _tone(150, 300),
    "a mid tone": _tone(500, 900),
    "a high tone": _tone(1500, 3000),
    "a rising sweep": lambda rng, samples: _sweep(rng, samples, rising=True),
    "a falling sweep": lambda rng, samples: _sweep(rng, samples, rising=False),
    "white noise": _noise,
    "a click train": _clicks,
    "a chord": _chord,
}


def _event(rng: random.Random, name: str) -> Tensor:
    samples = round(rng.uniform(*DURATIONS_S) * SAMPLE_RATE)
    wave = _MAKERS[name](rng, samples)
    # the level is that of the peak, or that of the power where it leaves the peak in range
    reference = wave.abs().max()
    if name != "a click train" and rng.random() < 0.5:
        reference = torch.minimum(reference, 1.414 * wave.square().mean().sqrt())
    wave = wave / reference * 10 ** (rng.uniform(*LEVELS_DBFS) / 20)
    fade = torch.linspace(0, 1, round(_FADE_S * SAMPLE_RATE))
    wave[: len(fade)] *= fade
    wave[-len(fade) :] *= fade.flip(0)
    return wave.clamp(-1, 1)


def make_sound(caption: str, rng: random.Random) -> Tensor:
    """Synthesise the events of a caption, one after the other.

    Returns:
        ``[N]`` float32 at 24 kHz, within ±1.

    Raises:
        KeyError: the caption names an unknown event.
    """
    return torch.cat([_event(rng, name) for name in caption.split(THEN)])
