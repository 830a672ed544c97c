from __future__ import annotations

import numpy as np
import pytest
import torch

from uniaudio2.timing.levels import level_count, packed_levels, speech_probability


@pytest.mark.parametrize("samples", [1, 239, 240, 241, 24_000, 24_001, 100_000])
def test_every_ten_milliseconds_has_a_level(samples: int) -> None:
    assert len(packed_levels(torch.zeros(samples))) == level_count(samples)


def test_levels_are_half_decibels_of_full_scale() -> None:
    wave = torch.sin(torch.arange(24_000) * 2 * torch.pi * 1000 / 24_000)
    assert set(packed_levels(wave)) == {194}  # -3 dB
    assert set(packed_levels(0.1 * wave)) == {154}
    assert set(packed_levels(0 * wave)) == {0}


@pytest.mark.parametrize("floor_db", [-100, -60, -30])
def test_who_speaks_is_above_the_floor_whatever_it_is(floor_db: int) -> None:
    levels = np.full(300, 2 * (100 + floor_db), np.uint8)
    levels[100:200] = 2 * (100 - 12)
    speech = speech_probability(levels)
    assert speech[100:200].min() > 0.95
    assert speech[:100].max() < 0.3


def test_steady_sound_is_speech_from_end_to_end() -> None:
    assert speech_probability(np.full(100, 150, np.uint8)).min() > 0.9
