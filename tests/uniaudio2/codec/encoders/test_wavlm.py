from __future__ import annotations

import pytest
import torch
from transformers import WavLMConfig, WavLMModel

from uniaudio2.codec.encoders.settings import WavLMSettings
from uniaudio2.codec.encoders.wavlm import WavLM

SIZES = {
    "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 40,
    "conv_dim": [12] * 7, "num_conv_pos_embedding_groups": 4, "num_buckets": 16,
    "max_bucket_distance": 20,
}  # fmt: skip


@pytest.mark.parametrize("kernel", [8, 7])
@torch.no_grad()
def test_every_bit_of_every_hidden_state_is_the_library_s(kernel: int) -> None:
    torch.manual_seed(0)
    sizes = {**SIZES, "num_conv_pos_embeddings": kernel}
    library = WavLMModel(WavLMConfig(**sizes, apply_spec_augment=False)).eval()
    library.encoder.layers[0].attention.rel_attn_embed.weight.normal_()
    ours = WavLM(WavLMSettings(**sizes), depth=3).eval()
    known = library.state_dict()
    ours.load_state_dict({name: known[name] for name in ours.state_dict()})
    wave = torch.randn(2, 9_600)
    hidden = library(wave, output_hidden_states=True).hidden_states
    for got, want in zip(ours(wave), hidden, strict=False):
        assert torch.equal(got, want)
    assert len(ours(wave)) == 4


def test_settings_are_the_library_s() -> None:
    theirs, ours = WavLMConfig(), WavLMSettings().model_dump(exclude={"layerdrop"})
    for name, value in ours.items():
        found = getattr(theirs, name)
        assert (tuple(found) if isinstance(found, list) else found) == value, name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"conv_dim": [1, 2]}, "conv_dim has 2 layers, conv_stride 7 and conv_kernel 7"),
        ({"hidden_size": 10}, "hidden_size 10 must be a multiple of its 3 heads"),
        ({"do_stable_layer_norm": True}, "should be False"),
        ({"feat_extract_norm": "layer"}, "should be 'group'"),
    ],
)
def test_what_is_not_of_the_base_family_is_refused(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        WavLMSettings(**{**SIZES, **changed})  # type: ignore[arg-type]
