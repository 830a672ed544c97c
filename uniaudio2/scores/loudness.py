"""How loud a recording is: integrated loudness by ITU-R BS.1770-4, of one channel.

The filters of the standard are applied by their frequency response, a stretch at a time with the
second before it: recursive filters have no fast form without compiled extensions.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.scores.heard import Floats, Heard
from uniaudio2.scores.spec import Absent, Scores

_STEP = SAMPLE_RATE // 10  # blocks of 0.4 s begin every 0.1 s
_STEPS = 4
_SILENT_LUFS = -70.0
_BELOW_MEAN_LU = 10.0
_OFFSET = -0.691
_STRETCH, _BEFORE = 10 * SAMPLE_RATE, SAMPLE_RATE


def score_loudness(heard: Heard) -> Scores:
    """Integrated loudness and the highest sample."""
    peak = float(heard.sound.abs().max()) if len(heard.sound) else 0.0
    return {
        "score_loudness_lufs": _or_absent(heard.sound),
        "score_peak_dbfs": 20 * math.log10(peak) if peak else Absent("all of it is zero"),
    }


def _or_absent(wave: Tensor) -> float | Absent:
    seconds = len(wave) / SAMPLE_RATE
    if len(wave) < _STEPS * _STEP:
        return Absent(f"{seconds:.2f} s of sound, and loudness is measured over 0.4 s")
    found = loudness(wave)
    return Absent("nothing of it is louder than -70 LUFS") if found is None else found


def loudness(wave: Tensor) -> float | None:
    """Integrated loudness in LUFS.

    Args:
        wave: ``[N]`` float32, mono, 24 kHz, at least 0.4 s.

    Returns:
        None where no block is louder than -70 LUFS.
    """
    energies = _energies(wave.numpy())
    blocks = np.convolve(energies, np.ones(_STEPS) / _STEPS, "valid")  # mean square of 0.4 s
    levels = _OFFSET + 10 * np.log10(np.maximum(blocks, 1e-20))
    loud = blocks[levels > _SILENT_LUFS]
    if not len(loud):
        return None
    threshold = _OFFSET + 10 * np.log10(loud.mean()) - _BELOW_MEAN_LU
    gated = blocks[levels > max(threshold, _SILENT_LUFS)]
    return float(_OFFSET + 10 * np.log10(gated.mean()))


def _energies(wave: npt.NDArray[np.float32]) -> Floats:
    """Mean square of every whole 0.1 s behind the filters, ``[S]``."""
    parts = []
    whole = len(wave) - len(wave) % _STEP
    for first in range(0, whole, _STRETCH):
        begin = max(first - _BEFORE, 0)
        stretch = wave[begin : min(first + _STRETCH, whole)].astype(np.float64)
        heard = _weighted(stretch)[first - begin :]
        parts.append((heard.reshape(-1, _STEP) ** 2).mean(axis=1))
    return np.concatenate(parts)


def _weighted(wave: Floats) -> Floats:
    """A wave behind both filters; silence behind it takes up what rings on."""
    samples = len(wave) + _BEFORE
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(samples))
    response = np.ones_like(turns)
    for above, below in (_shelf(), _high_pass()):
        response *= np.polyval(above[::-1], turns) / np.polyval(below[::-1], turns)
    found: Floats = np.fft.irfft(np.fft.rfft(wave, samples) * response, samples)[: len(wave)]
    return found


def _shelf() -> tuple[Floats, Floats]:
    """The head: 4 dB more above 1.7 kHz. Numerator and denominator by powers of a delay."""
    gain, quality = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    middle = gain**0.4996667741545416
    slope = math.tan(math.pi * 1681.974450955533 / SAMPLE_RATE)
    above = [
        gain + middle * slope / quality + slope**2,
        2 * (slope**2 - gain),
        gain - middle * slope / quality + slope**2,
    ]
    return np.array(above), _denominator(slope, quality)


def _high_pass() -> tuple[Floats, Floats]:
    """What lies below 38 Hz is heard little."""
    quality = 0.5003270373238773
    slope = math.tan(math.pi * 38.13547087602444 / SAMPLE_RATE)
    below = _denominator(slope, quality)
    return np.array([1.0, -2.0, 1.0]) * below[0], below


def _denominator(slope: float, quality: float) -> Floats:
    return np.array(
        [1 + slope / quality + slope**2, 2 * (slope**2 - 1), 1 - slope / quality + slope**2]
    )
