from __future__ import annotations

import pytest
import torch
from transformers import WavLMConfig, WavLMModel

from tests.uniaudio2.codec.small import CONFIG, noise, small_encoder
from uniaudio2.codec.encoders.settings import WavLMSettings
from uniaudio2.codec.features import (
    FrozenEncoders,
    concat_frames,
    to_16k,
    wavlm_depth,
)


@pytest.fixture(scope="module")
def frozen() -> FrozenEncoders:
    return small_encoder().features


@pytest.mark.parametrize("samples", [9_600, 19_200, CONFIG.segment_samples])
@torch.no_grad()
def test_rates_and_widths(frozen: FrozenEncoders, samples: int) -> None:
    features = frozen(noise(samples)[None])
    frames = samples // CONFIG.frame_samples
    assert features.whisper.shape == (1, 8, 2 * frames)
    assert features.wavlm.shape == (1, 12, 2 * frames)
    assert features.acoustic.shape == features.semantic.shape == (1, 16, frames)


@torch.no_grad()
def test_wavlm_is_the_average_of_the_whole_model_s_hidden_states(frozen: FrozenEncoders) -> None:
    whole = WavLMModel(WavLMConfig(**CONFIG.wavlm)).eval()
    missing = whole.load_state_dict(frozen.wavlm.state_dict(), strict=False).missing_keys
    assert missing
    assert all("layers.3." in name or name == "masked_spec_embed" for name in missing)
    wave = noise(9_600)[None]
    padded = torch.nn.functional.pad(to_16k(wave, CONFIG.sample_rate), (0, 160))
    hidden = whole(padded, output_hidden_states=True).hidden_states
    want = (hidden[1] + hidden[3]) / 2
    torch.testing.assert_close(frozen(wave).wavlm, want.transpose(1, 2))


@torch.no_grad()
def test_music_states_are_the_configured_ones(frozen: FrozenEncoders) -> None:
    wave = noise(9_600)[None]
    features, hidden = frozen(wave), frozen.music(wave)
    assert torch.equal(features.acoustic.transpose(1, 2), hidden[CONFIG.music.acoustic_layer])
    assert torch.equal(features.semantic.transpose(1, 2), hidden[CONFIG.music.semantic_layer])


def test_whisper_always_sees_one_whole_segment(frozen: FrozenEncoders) -> None:
    whole = 4 * CONFIG.segment_frames
    wave = noise(2 * whole * 160)[None]
    assert frozen.whisper_mel(wave[:, :500], CONFIG.segment_frames).shape == (1, 20, whole)
    assert torch.equal(
        frozen.whisper_mel(wave, CONFIG.segment_frames),
        frozen.whisper_mel(wave[:, : whole * 160], CONFIG.segment_frames),
    )


def test_resampling_keeps_two_of_three_samples() -> None:
    time = torch.arange(24_000) / 24_000
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    resampled = to_16k(tone, 24_000)[0]
    want = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(resampled[100:-100], want[100:-100], atol=2e-3, rtol=0)
    assert to_16k(tone[:, :10], 24_000).shape == (1, 7)


def test_joining_cuts_to_the_shortest() -> None:
    joined = concat_frames(torch.zeros(1, 5, 2), torch.ones(1, 4, 3))
    assert joined.shape == (1, 4, 5)
    assert joined[0, 0].tolist() == [0, 0, 1, 1, 1]


def test_no_more_is_built_than_is_used(frozen: FrozenEncoders) -> None:
    assert len(frozen.wavlm.encoder.layers) == max(CONFIG.wavlm_layers) == 3
    assert frozen.whisper.embed_positions.num_embeddings == 2 * CONFIG.segment_frames


def test_a_hidden_state_that_does_not_exist_is_refused() -> None:
    config = CONFIG.model_copy(update={"wavlm_layers": (1, 5)})
    with pytest.raises(ValueError, match=r"\(1, 5\).*4 layers; lower"):
        wavlm_depth(config, WavLMSettings(**config.wavlm))
