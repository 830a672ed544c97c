from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio.transforms
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from tests.uniaudio2.codec.small import noise
from uniaudio2.codec.mel import _whisper_filters, music_mel_db, whisper_log_mel


def test_whisper_mel_equals_the_stock_feature_extractor() -> None:
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=1)
    waves = torch.stack([noise(16_000, 1), 0.01 * noise(16_000, 2)])
    want = extractor(list(np.asarray(waves)), sampling_rate=16_000, return_tensors="pt")
    torch.testing.assert_close(
        whisper_log_mel(waves, 80), want["input_features"], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("bins", [20, 80, 128])
def test_whisper_filters_are_the_library_s_bit_for_bit(bins: int) -> None:
    want = mel_filter_bank(
        num_frequency_bins=201, num_mel_filters=bins, min_frequency=0.0, max_frequency=8000.0,
        sampling_rate=16_000, norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    got = _whisper_filters(bins, torch.device("cpu"))
    assert torch.equal(got.T, torch.as_tensor(want, dtype=torch.float32))


def test_whisper_floor_is_each_clip_s_own() -> None:
    quiet = torch.cat([noise(8_000, 1), torch.zeros(8_000)])
    together = whisper_log_mel(torch.stack([quiet, 100 * noise(16_000, 2)]), 20)
    torch.testing.assert_close(together[:1], whisper_log_mel(quiet[None], 20))


def test_music_mel_equals_the_stock_transforms() -> None:
    wave = noise(9_600)[None]
    spectrogram = torchaudio.transforms.MelSpectrogram(
        24_000, n_fft=2048, hop_length=240, n_mels=128
    )
    decibels = torchaudio.transforms.AmplitudeToDB()
    want = decibels(spectrogram(wave))[..., :-1]
    torch.testing.assert_close(music_mel_db(wave, 128, 24_000), want, atol=1e-4, rtol=0)


def test_silence_is_the_floor_of_both() -> None:
    silence = torch.zeros(1, 4_800)
    assert torch.equal(music_mel_db(silence, 8, 24_000), torch.full((1, 8, 20), -100.0))
    assert torch.equal(whisper_log_mel(silence, 8), torch.full((1, 8, 30), -1.5))
