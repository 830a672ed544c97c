"""DNSMOS of real speech: the package's own figures, and what the package does not hear."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from tests.uniaudio2.scores.clips import COUNT, RATE, as_wave, clip, recorded, speech
from uniaudio2.scores.dnsmos import LEVEL_DB, WINDOW, Dnsmos, at_level, windows_of
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.spec import Absent

EVERY = range(COUNT)
SOME = range(0, COUNT, 5)


@functools.cache
def dnsmos() -> Dnsmos:
    return Dnsmos()


@pytest.mark.parametrize(
    "numbers", [SOME, pytest.param(EVERY, marks=pytest.mark.nightly)], ids=["some", "all"]
)
def test_figures_are_those_of_its_own_package(numbers: range) -> None:
    figures = recorded()
    assert len(figures) == COUNT
    for number in numbers:
        ovrl, sig, bak, p808 = dnsmos().of_wave(clip(number))
        own = {"ovrl_mos": ovrl, "sig_mos": sig, "bak_mos": bak, "p808_mos": p808}
        assert own == pytest.approx(figures[number], abs=1e-3), number


def test_the_end_of_a_clip_is_heard() -> None:
    wave = np.concatenate([clip(9), np.zeros(RATE, np.float32)])  # 10.01 s
    noisy = wave.copy()
    noisy[-RATE:] = np.random.default_rng(0).uniform(-1, 1, RATE)
    assert dnsmos().of_wave(wave)[0] - dnsmos().of_wave(noisy)[0] > 0.05


@pytest.mark.parametrize("seconds", [9.01, 9.5, 10.01, 16.5, 30.0, 39.0, 60.0, 600.0])
def test_windows_cover_all_of_a_clip(seconds: float) -> None:
    samples = int(seconds * RATE)
    wave, starts = windows_of(np.zeros(samples, np.float32))
    assert len(wave) == samples
    assert starts[0] == 0
    assert starts[-1] + WINDOW == samples
    steps = np.diff(starts)
    assert all(0 < step <= WINDOW for step in steps)
    assert len(starts) <= max(30, samples / WINDOW + 1)


@pytest.mark.parametrize("seconds", [0.001, 0.3, 5.0, 8.0, 9.0, 9.005])
def test_short_clips_are_repeated_as_the_package_does(seconds: float) -> None:
    wave, starts = windows_of(np.ones(int(seconds * RATE), np.float32))
    assert len(wave) >= starts[-1] + WINDOW
    assert len(starts) <= 7


def test_the_level_of_a_recording_does_not_matter() -> None:
    quiet, loud = (Heard(speech(0) * gain) for gain in (0.1, 1.0))
    assert dnsmos()(quiet) == pytest.approx(dict(dnsmos()(loud)), abs=1e-3)  # type: ignore[arg-type]
    scaled = at_level(quiet.wave_16k, quiet.active_level_db)
    assert Heard(as_wave(scaled)).active_level_db == pytest.approx(LEVEL_DB, abs=0.2)


@pytest.mark.parametrize("kind", ["silence", "noise", "nothing"])
def test_where_nobody_speaks_there_is_no_figure(kind: str) -> None:
    wave = torch.zeros(0 if kind == "nothing" else 24_000)
    if kind == "noise":
        wave = 0.1 * torch.randn(24_000, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Absent, match="nobody speaks"):
        dnsmos()(Heard(wave))
