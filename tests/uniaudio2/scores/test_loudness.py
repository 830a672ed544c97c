"""Loudness by the standard: its own reference tones, another implementation, no NaN."""

from __future__ import annotations

import pytest
import torch
import torchaudio

from tests.uniaudio2.scores.clips import speech
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.loudness import loudness, score_loudness
from uniaudio2.scores.spec import Absent


@pytest.mark.parametrize(("seconds", "hertz"), [(1, 997), (25, 997), (12.34, 1000)])
def test_a_tone_of_the_standard(seconds: float, hertz: float) -> None:
    times = torch.arange(int(seconds * 24_000), dtype=torch.float64) / 24_000
    tone = torch.sin(2 * torch.pi * hertz * times).float()
    assert loudness(tone) == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone * 0.1) == pytest.approx(-23.01, abs=0.05)


def test_real_speech_is_as_loud_as_another_implementation_finds() -> None:
    wave = torch.cat([speech(0), torch.zeros(24_000), 0.1 * speech(3)])[:60_000]
    other = torchaudio.functional.loudness(wave[None], 24_000)
    assert loudness(wave) == pytest.approx(float(other), abs=0.1)


def test_stretches_meet_without_a_trace() -> None:
    wave = speech(3).repeat(12)[: 24 * 24_000]
    turned = torch.cat([torch.zeros(7 * 24_000), wave])  # the gate leaves silence out
    assert loudness(turned) == pytest.approx(loudness(wave), abs=0.02)  # type: ignore[arg-type]


def test_what_has_no_loudness_says_why() -> None:
    silent = score_loudness(Heard(torch.zeros(24_000)))
    assert isinstance(silent["score_loudness_lufs"], Absent)
    assert isinstance(silent["score_peak_dbfs"], Absent)
    short = score_loudness(Heard(torch.ones(9599) * 0.5))
    assert isinstance(short["score_loudness_lufs"], Absent)
    assert "0.4 s" in short["score_loudness_lufs"].reason
    assert short["score_peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
