"""Scores of signals whose truth is known, and of real speech."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.scores.clips import speech
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.signal import (
    score_bandwidth,
    score_clipping,
    score_silence,
    score_snr,
    score_speech,
)
from uniaudio2.scores.spec import Absent


def noise(samples: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(samples, generator=torch.Generator().manual_seed(3))


def below(wave: Tensor, hertz: float) -> Tensor:
    spectrum = torch.fft.rfft(wave)
    spectrum[int(len(spectrum) * hertz / 12_000) :] = 0
    return torch.fft.irfft(spectrum, len(wave))


@pytest.mark.parametrize("hertz", [1000, 4000, 8000, 11_000])
def test_bandwidth_is_that_of_the_filter(hertz: int) -> None:
    for wave in (below(noise(48_000), hertz), below(noise(48_000, 0.001), hertz)):
        found = score_bandwidth(Heard(wave))["score_bandwidth_hz"]
        assert found == pytest.approx(hertz, abs=150)


def test_bandwidth_is_the_same_in_other_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(torch.cat([speech(0), below(noise(48_000), 5000)]))
    whole = score_bandwidth(heard)
    monkeypatch.setattr("uniaudio2.scores.signal._FRAMES_AT_ONCE", 7)
    assert score_bandwidth(heard) == whole


def test_bandwidth_of_very_short_and_of_no_sound() -> None:
    assert score_bandwidth(Heard(noise(10)))["score_bandwidth_hz"] > 0  # type: ignore[operator]
    for samples in (0, 24_000):
        with pytest.raises(Absent, match="no sound"):
            score_bandwidth(Heard(torch.zeros(samples)))


def test_clipping_is_the_share_of_samples_at_full_scale() -> None:
    sine = torch.sin(torch.arange(24_000) * 0.1)
    assert score_clipping(Heard(0.9 * sine))["score_clipped_share"] == 0.0
    share = score_clipping(Heard((2 * sine).clamp(-1, 1)))["score_clipped_share"]
    assert share == pytest.approx(1 - 2 * math.asin(0.99 / 2) / math.pi, abs=0.01)
    with pytest.raises(Absent):
        score_clipping(Heard(torch.zeros(0)))


def test_silence_at_both_ends_is_measured() -> None:
    wave = torch.cat([torch.zeros(12_000), noise(24_000), noise(7200, 0.0005)])
    for gain in (1.0, 0.05):
        found = score_silence(Heard(wave * gain))
        assert found["score_leading_silence_s"] == pytest.approx(0.5, abs=0.011)
        assert found["score_trailing_silence_s"] == pytest.approx(0.3, abs=0.011)
    silent = score_silence(Heard(torch.zeros(12_000)))
    assert set(silent.values()) == {0.5}
    assert set(score_silence(Heard(torch.zeros(0))).values()) == {0.0}


@pytest.mark.parametrize("snr_db", [10, 20, 30])
def test_snr_is_that_of_the_mixture(snr_db: int) -> None:
    spoken = torch.cat([torch.zeros(24_000), *(speech(n) for n in (0, 2, 4)), torch.zeros(24_000)])
    loud = spoken[spoken.abs() > 0.01].square().mean().sqrt()
    mixed = spoken + noise(len(spoken), float(loud) * 10 ** (-snr_db / 20))
    found = score_snr(Heard(mixed))["score_snr_db"]
    assert found == pytest.approx(snr_db, abs=4)


def test_snr_needs_speech_and_a_pause() -> None:
    with pytest.raises(Absent, match="nobody speaks"):
        score_snr(Heard(noise(24_000)))
    silent = torch.cat([torch.zeros(24_000), speech(0), torch.zeros(24_000)])
    assert 50 < score_snr(Heard(silent))["score_snr_db"] <= 100  # type: ignore[operator]


def test_speech_is_what_is_spoken_of_a_recording() -> None:
    wave = speech(2)
    padded = torch.cat([torch.zeros(48_000), wave, torch.zeros(48_000)])
    found = score_speech(Heard(padded))
    spoken_s = found["score_speech_s"]
    assert isinstance(spoken_s, float)
    assert 0.5 * len(wave) / 24_000 < spoken_s < 1.3 * len(wave) / 24_000
    assert found["score_speech_share"] == pytest.approx(spoken_s * 24_000 / len(padded), abs=1e-4)
    assert score_speech(Heard(torch.zeros(48_000)))["score_speech_s"] == 0.0
