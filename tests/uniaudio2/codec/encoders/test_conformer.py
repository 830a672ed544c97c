from __future__ import annotations

import pytest
import torch
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerEncoderLayer,
)

from uniaudio2.codec.encoders.conformer import ConformerLayer
from uniaudio2.codec.rotary import rotary_table


@torch.no_grad()
def test_every_bit_is_the_library_s() -> None:
    torch.manual_seed(0)
    library = Wav2Vec2ConformerEncoderLayer(
        Wav2Vec2ConformerConfig(
            hidden_size=24, num_attention_heads=3, intermediate_size=40,
            conv_depthwise_kernel_size=5, hidden_act="swish", position_embeddings_type="rotary",
            attn_implementation="sdpa",
        )
    ).eval()  # fmt: skip
    library.conv_module.batch_norm.running_var.uniform_(0.5, 2.0)
    ours = ConformerLayer(24, 3, 40, 5).eval()
    ours.load_state_dict(library.state_dict())
    hidden = torch.randn(2, 11, 24)
    table = rotary_table(11, 8, hidden.device)[:, :, None, None]
    want = library(hidden, relative_position_embeddings=table)
    assert torch.equal(ours(hidden, table), want)


def test_a_kernel_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="conv_kernel 4 must be odd"):
        ConformerLayer(8, 2, 8, 4)
