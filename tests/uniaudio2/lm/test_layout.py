from __future__ import annotations

import torch
from torch import nn

from uniaudio2.lm.layout import lay_out
from uniaudio2.model import UniAudio2


def test_wide_layers_lie_input_by_input_and_the_others_stay() -> None:
    layers = nn.Sequential(nn.Linear(4, 16, bias=False), nn.Linear(16, 4), nn.Linear(4, 4))
    row = torch.randn(1, 4)
    kept = {name: tensor.clone() for name, tensor in layers.state_dict().items()}
    said = layers(row)
    lay_out(layers)
    assert [layer.weight.stride() for layer in layers] == [(1, 16), (16, 1), (4, 1)]
    for name, tensor in layers.state_dict().items():
        assert torch.equal(tensor, kept[name])
    torch.testing.assert_close(layers(row), said)


def test_laying_out_again_changes_nothing() -> None:
    layer = nn.Linear(4, 16)
    lay_out(layer)
    place = layer.weight.data_ptr()
    lay_out(layer)
    assert layer.weight.data_ptr() == place


def test_weights_that_wait_in_half_precision_stay_mapped() -> None:
    layer = nn.Linear(4, 16).to(torch.bfloat16)
    lay_out(layer)
    assert layer.weight.is_contiguous()


def test_a_loaded_language_model_is_laid_out() -> None:
    lm = UniAudio2.load("tiny", parts=("lm",))._lm
    assert lm is not None
    assert lm.text_head.weight.stride(0) == 1
