from __future__ import annotations

import random

import torch

from tests.uniaudio2.training.clips import some_sounds
from uniaudio2.training.data.augment import augment, pack
from uniaudio2.training.data.domain import symbols_of

SEGMENT = 4 * 24_000 + 240


def test_packs_are_full_and_name_what_they_hold() -> None:
    clips = some_sounds(12)
    named = 0
    for seed in range(30):
        packed = pack(clips, clips, random.Random(seed), SEGMENT)
        assert packed.wave.shape == (SEGMENT,)
        assert packed.covered <= SEGMENT
        if packed.symbols:
            named += 1
            assert packed.covered >= 0.8 * 24_000 * len(packed.symbols) - 1
        else:
            assert packed.covered == 0
    assert named > 15


def test_what_is_left_repeats_the_start() -> None:
    (clip,) = some_sounds(1)
    rng = random.Random(3)
    packed = pack([clip], [clip], rng, SEGMENT)
    period = packed.covered
    assert packed.symbols == symbols_of(clip.text) * (period // clip.samples)
    clean = packed.wave[: SEGMENT - period]
    assert torch.corrcoef(torch.stack([clean, packed.wave[period:]]))[0, 1] > 0.8


def test_disturbing_is_light_and_repeatable() -> None:
    wave = 0.3 * torch.sin(torch.arange(48_000) / 20)
    for seed in range(10):
        once, again = (augment(wave, random.Random(seed)) for _ in range(2))
        assert torch.equal(once, again)
        assert once.shape == wave.shape
        assert torch.corrcoef(torch.stack([once, wave]))[0, 1].abs() > 0.5
        assert float(once.abs().max()) <= 1
