"""The decoder's name tables against the published layout, tensor by tensor."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.checkpoint.published.test_encoder_names import LAYOUT, published, shapes
from uniaudio2.checkpoint.published.decoder_names import (
    DECODER_RULES,
    SCALAR_ENCODER_RULES,
    SCALAR_RULES,
)
from uniaudio2.checkpoint.published.quantizer_names import QUANTIZER_RULES
from uniaudio2.checkpoint.rules import Mapped, Rule, apply_rules, fold_weight_norm
from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.scalar import ScalarCodec

PLAUSIBLE = LAYOUT["ScalarAE"]["plausible"].values()
CODEC_RULES = (*QUANTIZER_RULES, *DECODER_RULES)


def mapped(state: dict[str, Tensor], *rules: Rule) -> Mapped:
    return apply_rules(fold_weight_norm(state), rules)


@pytest.mark.parametrize("plausible", PLAUSIBLE)
def test_the_published_files_fill_the_decoder_exactly(plausible: dict[str, list[dict]]) -> None:
    with torch.device("meta"):
        scalar = ScalarConfig(**plausible["config"])
        want = FlowDecoder(FlowConfig(), CodecConfig(), scalar).state_dict()
    codec = mapped(published(LAYOUT["AudioDiffusion1D"]), *CODEC_RULES)
    waves = mapped(published(plausible["entries"]), *SCALAR_RULES)
    assert codec.unknown == waves.unknown == []
    assert shapes(codec.state | waves.state) == shapes(want)


@pytest.mark.parametrize("plausible", PLAUSIBLE)
def test_the_scalar_codec_s_encoder_has_a_place_too(plausible: dict[str, list[dict]]) -> None:
    with torch.device("meta"):
        want = ScalarCodec(ScalarConfig(**plausible["config"])).state_dict(prefix="scalar.")
    waves = mapped(published(plausible["entries"]), *SCALAR_ENCODER_RULES, *SCALAR_RULES)
    assert waves.unknown == []
    assert waves.ignored == {}
    assert shapes(waves.state) == shapes(want)


def test_of_what_the_layout_calls_needed_only_constants_are_left_out() -> None:
    uses = {entry["name"]: entry["use"] for entry in LAYOUT["AudioDiffusion1D"]}
    codec = mapped(published(LAYOUT["AudioDiffusion1D"]), *CODEC_RULES)
    assert all(codec.ignored.values())
    dropped = {name for name in codec.ignored if re.search(r"\bdecode\b", uses.get(name, ""))}
    assert dropped == {"cfm_wrapper.estimator.pos_embed.pe"}


def test_the_reasoning_quantizer_is_not_the_encoder_s_alone() -> None:
    name = "audio_thinking.reasoning_vq.project_out.bias"
    assert mapped({name: torch.zeros(2)}, *DECODER_RULES).unknown == [name]


@pytest.mark.parametrize(
    "name",
    ["cfm_wrapper.estimator.novelty", "vq_novelty.weight", "cfm_wrapper.estimator.pos_embed.pf"],
)
def test_a_new_name_of_the_codec_is_reported(name: str) -> None:
    assert mapped({name: torch.zeros(1)}, *CODEC_RULES).unknown == [name]


def test_a_new_name_of_the_scalar_codec_is_reported() -> None:
    assert mapped({"decoder.1.novelty": torch.zeros(1)}, *SCALAR_RULES).unknown


def test_the_shared_slope_reaches_every_down_block() -> None:
    names = [f"encoder.{layer}.down_conv.activation.weight" for layer in (1, 2)]
    slope = torch.tensor([0.2])
    state = mapped(dict.fromkeys(names, slope), *SCALAR_ENCODER_RULES).state
    assert list(state) == [f"scalar.encoder.{layer}.activation.weight" for layer in (1, 2)]
    assert all(tensor is slope for tensor in state.values())


def test_a_transposed_weight_is_normed_per_input_channel() -> None:
    direction = torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(1))
    magnitude = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    prefix = "decoder.1.up_conv.layer."
    state = {prefix + "weight_g": magnitude, prefix + "weight_v": direction}
    weight = mapped(state, *SCALAR_RULES).state["scalar.decoder.1.up.weight"]
    torch.testing.assert_close(weight.flatten(1).norm(dim=1), magnitude.flatten())
