"""Joins waves of speech with pauses of a stated length, whatever silence the waves bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.audio.spans import FRAME_SAMPLES, Levels

FADE_SAMPLES = SAMPLE_RATE * 8 // 1000
"""Where waves meet they fade, in and out, for so long: none of them breaks off."""
_WITHIN = FADE_SAMPLES // 4  # of a sound that has no silence around it
_SILENT_DBFS = -60.0
_BELOW_LOUD_DB = 40.0
_LOUD = 95.0
_QUIETEST = 1e-12


@dataclass(frozen=True)
class Joined:
    """Waves in one.

    Attributes:
        wave: ``[N]`` float32.
        places: of each wave, the sample of it where it begins, and the one where it ends.
    """

    wave: Tensor
    places: list[tuple[int, int]]


def sounding(wave: Tensor) -> tuple[int, int]:
    """Where a wave begins and ends to sound, in whole frames of 10 ms.

    Sound is what is above -60 dBFS and comes within 40 dB of what is loud in the wave.

    Args:
        wave: ``[N]`` float32, 24 kHz.

    Returns:
        first sample and the one behind the last; of a silent wave all of it.
    """
    levels = Levels(SAMPLE_RATE)
    levels.add(wave)
    found = 10 * np.log10(np.maximum(levels.energies(), _QUIETEST))
    if not len(found):
        return 0, len(wave)
    threshold = max(_SILENT_DBFS, float(np.percentile(found, _LOUD)) - _BELOW_LOUD_DB)
    loud = np.flatnonzero(found > threshold)
    if not len(loud):
        return 0, len(wave)
    return int(loud[0]) * FRAME_SAMPLES, min((int(loud[-1]) + 1) * FRAME_SAMPLES, len(wave))


def join_speech(waves: Sequence[Tensor], pauses_s: Sequence[float]) -> Joined:
    """Join waves, each behind a pause; silence at their inner ends goes.

    Within a pause there is no sound but what a wave fades out and in with; where the pause is
    shorter than that the two lie over each other.

    Args:
        waves: at least one, each ``[N]`` float32 at 24 kHz.
        pauses_s: silence behind each, measured from the end of its sound to the beginning of the
            next one; the last is not looked at.
    """
    trimmed, around = [], []  # what is left of each wave, and of that what lies around its sound
    for place, wave in enumerate(waves):
        is_first, is_last = place == 0, place == len(waves) - 1
        start, stop = sounding(wave)
        before = start if is_first else min(start, FADE_SAMPLES)
        after = len(wave) - stop if is_last else min(len(wave) - stop, FADE_SAMPLES)
        rise = 0 if is_first else before or _WITHIN
        fall = 0 if is_last else after or _WITHIN
        trimmed.append(_faded(wave[start - before : stop + after], rise, fall))
        around.append((before, after))
    at, starts = 0, []
    for place, wave in enumerate(trimmed):
        before, after = around[place]
        starts.append(max(at - before, 0))
        pause = round(pauses_s[place] * SAMPLE_RATE)
        at = starts[-1] + len(wave) - after + pause
    whole = torch.zeros(max(start + len(wave) for start, wave in zip(starts, trimmed, strict=True)))
    for start, wave in zip(starts, trimmed, strict=True):
        whole[start : start + len(wave)] += wave
    places = [
        (start + before, start + len(wave) - after)
        for start, wave, (before, after) in zip(starts, trimmed, around, strict=True)
    ]
    return Joined(whole, places)


def _faded(wave: Tensor, rise: int, fall: int) -> Tensor:
    """A wave that rises from nothing over its first samples and falls to it over its last ones."""
    faded = wave.clone()
    rise, fall = min(rise, len(wave)), min(fall, len(wave))
    faded[:rise] *= torch.linspace(0, 1, rise)
    faded[len(wave) - fall :] *= torch.linspace(1, 0, fall)
    return faded
