"""Waves joined with pauses: as long as asked, without a step, nothing of the sound lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from uniaudio2.audio.joining import join_speech, sounding

RATE = 24_000


def voiced(seconds: float, before_s: float = 0.0, behind_s: float = 0.0, hz: float = 200) -> Tensor:
    """A tone that comes and goes within 4 ms, with very quiet noise around it; without any it
    begins and breaks off at once."""
    times = torch.arange(round(seconds * RATE)) / RATE
    tone = 0.5 * torch.sin(2 * torch.pi * hz * times + 1.0)
    if before_s or behind_s:
        near = torch.minimum(times, times.flip(0)) / 0.004
        tone = tone * near.clamp(max=1.0)
    noise = torch.Generator().manual_seed(0)
    ends = [2e-4 * torch.randn(round(s * RATE), generator=noise) for s in (before_s, behind_s)]
    return torch.cat([ends[0], tone, ends[1]])


@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.06, 0.4])
@pytest.mark.parametrize("silence_s", [0.0, 0.05, 0.5])
def test_pauses_are_as_long_as_asked(pause_s: float, silence_s: float) -> None:
    waves = [voiced(0.5, silence_s, silence_s), voiced(0.7, silence_s, silence_s, 300)]
    joined = join_speech(waves, [pause_s, 9.0])
    (first, second) = joined.places
    assert second[0] - first[1] == pytest.approx(pause_s * RATE, abs=1)
    # 10 ms is how finely silence is measured
    assert first[1] - first[0] == pytest.approx(0.5 * RATE, abs=480)
    assert second[1] - second[0] == pytest.approx(0.7 * RATE, abs=480)
    assert len(joined.wave) == pytest.approx((1.2 + pause_s + 2 * silence_s) * RATE, abs=1000)


@pytest.mark.parametrize("pause_s", [0.0, 0.001, 0.06])
@pytest.mark.parametrize("silence_s", [0.0, 0.003, 0.2])
def test_no_step_is_heard_where_waves_meet(pause_s: float, silence_s: float) -> None:
    waves = [voiced(0.3013, silence_s, silence_s, hz) for hz in (200, 310, 170)]
    own = float(waves[1].diff().abs().max())
    joined = join_speech(waves, [pause_s] * 3)
    assert float(joined.wave.diff().abs().max()) < 1.5 * own
    gap = torch.zeros(round(pause_s * RATE))
    plain = torch.cat([waves[0], gap, waves[1], gap, waves[2]])
    assert silence_s or float(plain.diff().abs().max()) > 3 * own  # put together they click


def test_one_wave_is_left_as_it_is_and_so_are_the_outer_ends() -> None:
    wave = voiced(0.4, 0.3, 0.2)
    assert torch.equal(join_speech([wave], [1.0]).wave, wave)
    joined = join_speech([wave, wave], [0.1, 0.0]).wave
    assert torch.equal(joined[: int(0.6 * RATE)], wave[: int(0.6 * RATE)])
    assert torch.equal(joined[-int(0.5 * RATE) :], wave[-int(0.5 * RATE) :])


@pytest.mark.parametrize("samples", [0, 1, 100, 5000])
def test_silence_and_next_to_nothing_can_be_joined(samples: int) -> None:
    joined = join_speech([torch.zeros(samples), voiced(0.2), torch.zeros(samples)], [0.1, 0.1, 0])
    assert torch.isfinite(joined.wave).all()
    assert len(joined.places) == 3
    assert sounding(torch.zeros(samples)) == (0, samples)
