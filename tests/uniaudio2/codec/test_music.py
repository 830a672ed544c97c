from __future__ import annotations

import pytest
import torch
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerEncoder,
)

from tests.uniaudio2.codec.small import MUSIC, noise, small_encoder
from uniaudio2.codec import music as music_module
from uniaudio2.codec.music import FrontEnd, MusicFM, ResidualConv
from uniaudio2.codec.rotary import rotary_table
from uniaudio2.codec.stock_layers import conformer_layer


@pytest.fixture
def music() -> MusicFM:
    return small_encoder().features.music


@torch.no_grad()
def test_one_state_per_layer_and_its_input(music: MusicFM) -> None:
    hidden = music(noise(9_600)[None])
    assert [tuple(states.shape) for states in hidden] == [(1, 10, MUSIC.dim)] * 4


@torch.no_grad()
def test_a_partial_frame_is_dropped(music: MusicFM) -> None:
    wave = noise(9_600 + 959)[None]
    for got, want in zip(music(wave), music(wave[:, :9_600]), strict=True):
        assert torch.equal(got, want)


@torch.no_grad()
def test_layers_equal_the_stock_encoder(music: MusicFM) -> None:
    stock = Wav2Vec2ConformerEncoder(
        Wav2Vec2ConformerConfig(
            hidden_size=MUSIC.dim,
            num_hidden_layers=len(music.layers),
            num_attention_heads=MUSIC.heads,
            intermediate_size=MUSIC.mlp_dim,
            conv_depthwise_kernel_size=MUSIC.conv_kernel,
            num_conv_pos_embedding_groups=2,
            hidden_act="swish",
            position_embeddings_type="rotary",
            attn_implementation="eager",
        )
    ).eval()
    stock.layers.load_state_dict(music.layers.state_dict())
    hidden = music(noise(9_600)[None])
    want = stock(hidden[0]).last_hidden_state
    torch.testing.assert_close(stock.layer_norm(hidden[-1]), want, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_front_end_flattens_channels_before_bands(music: MusicFM) -> None:
    mel = torch.randn(1, MUSIC.mel_bins, 8, generator=torch.Generator().manual_seed(0))
    image = music.front_end.blocks(mel[:, None])  # [1, C, bands, T]
    rows = [
        torch.cat([image[0, channel, :, frame] for channel in range(MUSIC.conv_dim)])
        for frame in range(2)
    ]
    want = music.front_end.linear(torch.stack(rows))[None]
    torch.testing.assert_close(music.front_end(mel), want)


@torch.no_grad()
def test_the_skip_joins_before_the_last_activation() -> None:
    block = ResidualConv(1, 2).eval()
    block.bn3.bias.fill_(-100.0)
    assert torch.equal(block(torch.ones(1, 1, 4, 4)), torch.zeros(1, 2, 2, 2))


def test_a_state_behind_the_final_norm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden state 4 .* 4 layers; lower"):
        MusicFM(MUSIC.model_copy(update={"semantic_layer": 4}), 24_000)


@pytest.mark.parametrize("frames", [1, 3, 20])
def test_the_front_end_in_spans_gives_what_it_gives_at_once(
    monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    front_end = FrontEnd(MUSIC).eval()
    for module in front_end.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    mel = torch.randn(2, MUSIC.mel_bins, 4 * frames)
    want = front_end(mel).detach()  # with gradients, at once and with its norms
    monkeypatch.setattr(music_module, "_SPAN_FRAMES", 4)
    with torch.no_grad():
        torch.testing.assert_close(front_end(mel), want)


def test_layers_for_inference_give_what_stock_ones_give() -> None:
    model = small_encoder().features.music
    layer, states = model.layers[0], torch.randn(2, 9, MUSIC.dim)
    table = rotary_table(9, model.head_dim, states.device)
    want = layer(states, table[:, :, None, None]).detach()
    with torch.no_grad():
        torch.testing.assert_close(conformer_layer(layer, states, table), want)
