"""The resampler against torchaudio's, and streams against whole waves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from tests.conftest import tone
from uniaudio2.audio import resampling
from uniaudio2.audio.resampling import joined, resample, resampled

ONE_ULP = 1.2e-7  # at a sample of full scale
PEOPLES = [8_000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    wave = np.random.default_rng(seed).uniform(-1, 1, samples)
    return torch.from_numpy(wave.astype(np.float32))


@pytest.mark.parametrize("rate", [*PEOPLES, 7_350, 192_000])
@pytest.mark.parametrize("duration_s", [0.001, 0.1, 4.0])
def test_samples_are_torchaudios(rate: int, duration_s: float) -> None:
    wave = noise(round(rate * duration_s) + 1)
    want = torchaudio.transforms.Resample(rate, 24_000)(wave)
    # how far apart two orders of the same sum may come, where a processor has another one
    torch.testing.assert_close(resample(wave, rate), want, atol=4 * ONE_ULP, rtol=0)


@pytest.mark.parametrize("target", [8_000, 16_000, 44_100, 48_000])
def test_other_targets(target: int) -> None:
    wave = noise(60_001)
    want = torchaudio.transforms.Resample(24_000, target)(wave)
    torch.testing.assert_close(resample(wave, 24_000, target), want, atol=4 * ONE_ULP, rtol=0)


@pytest.mark.parametrize("rate", [*PEOPLES, 44_101, 192_000, 1_000_000])
@pytest.mark.parametrize("samples", [1, 80, 70_001])
@pytest.mark.parametrize("block", [777, 50_000])
def test_a_stream_gives_the_bits_of_the_whole_wave(
    rate: int, samples: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "_TILE_SAMPLES", 4096)
    monkeypatch.setattr(resampling, "_CHUNK_SAMPLES", 2048)
    wave = noise(samples, rate)
    whole = resample(wave, rate)
    parts = torch.cat(list(resampled(wave.split(block), rate)))
    assert len(parts) == len(whole) == -(-samples * 24_000 // rate)
    exact = resampling._has_filter_bank(rate, 24_000)
    torch.testing.assert_close(parts, whole, atol=0 if exact else 1e-5, rtol=0)


def test_a_tile_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = noise(70_001)
    whole = resample(wave, 44_100)
    monkeypatch.setattr(resampling, "_TILE_SAMPLES", 4096)
    assert torch.equal(resample(wave, 44_100), whole)


def test_memory_of_a_stream_is_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_TILE_SAMPLES", 4096)
    pieces = list(resampled((noise(512, number) for number in range(100)), 16_000))
    assert max(map(len, pieces)) < 2 * 4096


def test_a_channel_of_many_is_read_where_it_lies() -> None:
    channels = noise(60_000).view(30_000, 2)
    channel = channels[:, 1]
    assert torch.equal(resample(channel, 16_000), resample(channel.clone(), 16_000))


def test_an_empty_wave_stays_empty() -> None:
    assert not len(resample(torch.zeros(0), 16_000))
    assert not list(resampled([], 16_000))
    assert not sum(map(len, resampled([torch.zeros(0)], 44_101)))


def test_rate_without_a_common_factor() -> None:
    wave = torch.from_numpy(tone(0.5, 44_101))
    assert len(resample(wave, 44_101)) == -(-len(wave) * 24_000 // 44_101)


def test_pieces_are_joined_whatever_was_expected() -> None:
    pieces = list(noise(1000).split(300))
    for expected in (0, 999, 1000, 5000):
        assert torch.equal(joined(iter(pieces), expected), noise(1000))
    assert joined(iter(pieces[:1]), 5000) is pieces[0]
    assert not len(joined(iter([]), 5000))
