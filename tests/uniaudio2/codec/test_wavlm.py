from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import WavLMConfig, WavLMModel

from tests.uniaudio2.codec.small import CONFIG, noise
from uniaudio2.codec import wavlm
from uniaudio2.codec.encoders.settings import WavLMSettings
from uniaudio2.codec.encoders.wavlm import WavLM
from uniaudio2.codec.wavlm import wavlm_average


def model_of(**changes: Any) -> tuple[WavLM, WavLMModel]:
    """Random weights, larger than a library would draw them, so that every part shows; and the
    library's model of the same."""
    torch.manual_seed(3)
    sizes = {**CONFIG.wavlm, **changes}
    stock = WavLMModel(WavLMConfig(**sizes, apply_spec_augment=False, mask_time_prob=0.0)).eval()
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ours = WavLM(WavLMSettings(**sizes), WavLMSettings(**sizes).num_hidden_layers).eval()
    ours.load_state_dict(stock.state_dict())
    return ours, stock


@pytest.mark.parametrize("changes", [{}, {"conv_bias": True}, {"num_conv_pos_embeddings": 7}])
@torch.no_grad()
def test_it_gives_the_stock_model_s_hidden_states(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(wavlm, "_SPAN_FRAMES", 7)  # 29 frames: the last span is a short one
    model, stock = model_of(**changes)
    waves = torch.stack([0.1 + noise(9_480, 1), 0.01 * noise(9_480, 2)])
    hidden = stock(waves, output_hidden_states=True).hidden_states
    for layers in ((0,), (1, 3), (2, 2, 4)):
        want = torch.stack([hidden[layer] for layer in layers]).mean(0)
        torch.testing.assert_close(wavlm_average(model, waves, layers), want, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_silence_is_heard_as_the_stock_model_hears_it() -> None:
    (model, stock), silence = model_of(), torch.zeros(1, 1_600)
    want = stock(silence, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(wavlm_average(model, silence, (1,)), want, atol=1e-4, rtol=1e-4)


def test_with_gradients_its_own_forward_runs() -> None:
    model, _ = model_of()
    wavlm_average(model, noise(1_600)[None], (1,)).sum().backward()
    assert model.encoder.layers[0].attention.rel_attn_embed.weight.grad is not None
