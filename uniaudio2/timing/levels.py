"""How loud a recording is, frame by frame of 10 ms, and where somebody is likely to speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.audio.spans import FRAME_HZ, FRAME_SAMPLES, Levels

if TYPE_CHECKING:
    from torch import Tensor

FRAME_S = 1 / FRAME_HZ
_LEAST_DB = -100.0
_STEPS_A_DB = 2
_ABOVE_FLOOR_DB, _BELOW_PEAK_DB, _WIDEST_DB = 4.0, 40.0, 60.0
_NARROWEST_DB = 10.0  # steady sound is speech from end to end, as far as its level tells
_SOFTNESS_DB = 3.0

Floats = npt.NDArray[np.float64]
Packed = npt.NDArray[np.uint8]


def level_count(samples: int) -> int:
    """How many levels so many samples at 24 kHz have; the last frame may be short."""
    return -(-samples // FRAME_SAMPLES)


def packed_levels(wave: Tensor) -> Packed:
    """The level of every 10 ms of a wave.

    Args:
        wave: ``[N]`` float32, 24 kHz.

    Returns:
        ``[level_count(N)]`` uint8: half decibels above -100 dB of full scale.
    """
    heard = Levels(SAMPLE_RATE)
    heard.add(wave)
    energies = np.maximum(heard.energies(), 10 ** (_LEAST_DB / 10))
    steps = (10 * np.log10(energies) - _LEAST_DB) * _STEPS_A_DB
    packed: Packed = np.clip(np.rint(steps), 0, 255).astype(np.uint8)
    return packed


def speech_probability(packed: Packed) -> Floats:
    """How likely it is that somebody speaks, by the level alone.

    Args:
        packed: of `packed_levels`.

    Returns:
        ``[F]`` in 0..1: a half where the level is a little above the floor, or far below the peak.
    """
    decibels = packed / _STEPS_A_DB
    floor, peak = np.percentile(decibels, [5, 98])
    threshold = max(floor, peak - _WIDEST_DB) + _ABOVE_FLOOR_DB
    threshold = min(max(threshold, peak - _BELOW_PEAK_DB), peak - _NARROWEST_DB)
    probability: Floats = 1 / (1 + np.exp((threshold - decibels) / _SOFTNESS_DB))
    return probability
