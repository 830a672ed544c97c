from __future__ import annotations

import pytest
import torch

from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.training.data.bands import BandAnalysis, band_centres
from uniaudio2.training.recipe import NANO
from uniaudio2.training.trainers.scalar import init_as_oscillators

CONFIG = NANO.model.scalar
BANDS = CONFIG.latent_hidden_dim // 2


def sine(hz: float, seconds: float = 0.8, level: float = 0.3) -> torch.Tensor:
    return level * torch.sin(2 * torch.pi * hz * torch.arange(round(seconds * 24_000)) / 24_000)


@pytest.mark.parametrize("hz", [200.0, 950.0, 3000.0])
def test_a_tone_shows_in_its_band_at_both_moments(hz: float) -> None:
    latents = BandAnalysis(CONFIG)(sine(hz)[None])
    assert latents.shape == (1, CONFIG.latent_hidden_dim, 20)
    nearest = int((band_centres(CONFIG) - hz).abs().argmin())
    loudest = latents[0, :, 5:15].unflatten(0, (2, BANDS)).argmax(1)
    assert bool(((loudest - nearest).abs() <= 1).all())


def test_silence_is_the_lowest_and_moments_are_in_order() -> None:
    silent = torch.zeros(24_000)
    assert bool((BandAnalysis(CONFIG)(silent[None]) == -1).all())
    wave = torch.cat([silent[:9600], torch.randn(960), silent[:9600]])
    levels = BandAnalysis(CONFIG)(wave[None])[0].unflatten(0, (2, BANDS)).mean(1)  # [2, F]
    assert levels.argmax(1).tolist() == [10, 10]
    louder = BandAnalysis(CONFIG)(torch.cat([silent[:9600], torch.randn(480)])[None])
    assert louder.shape[-1] == 10  # what fills no frame is left out


def test_an_odd_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="even number"):
        band_centres(CONFIG.model_copy(update={"latent_hidden_dim": 97}))


def test_an_untrained_decoder_already_sings_in_the_right_place() -> None:
    torch.manual_seed(0)
    codec = ScalarCodec(CONFIG, with_encoder=False)
    init_as_oscillators(codec)
    with torch.no_grad():
        for hz in (400.0, 2800.0):
            wave = codec.decode(BandAnalysis(CONFIG)(sine(hz)[None]))[0, 0]
            spectrum = torch.fft.rfft(wave).abs()
            loudest_hz = float(spectrum.argmax()) * 24_000 / len(wave)
            assert loudest_hz == pytest.approx(hz, rel=0.1)


def test_a_decoder_of_another_build_is_refused() -> None:
    other = CONFIG.model_copy(update={"init_channel": 16})
    with pytest.raises(ValueError, match="init_channel 24"):
        init_as_oscillators(ScalarCodec(other, with_encoder=False))
