"""The encoder's name table against the published layout, tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio2.checkpoint.published.encoder_names import ENCODER_RULES, music_rules
from uniaudio2.checkpoint.published.quantizer_names import QUANTIZER_RULES
from uniaudio2.checkpoint.rules import Mapped, apply_rules, fold_weight_norm
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.quantizers import Quantizers
from uniaudio2.config import CodecConfig

LAYOUT = json.loads(
    (Path(__file__).parents[3] / "layouts" / "checkpoint-layout-codec.json").read_text()
)
POSITIONS = "wavlm_encoder.encoder.pos_conv_embed.conv."


def published(entries: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {
        entry["name"]: torch.empty(
            entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta"
        )
        for entry in entries
    }


def mapped_codec(state: dict[str, Tensor]) -> Mapped:
    return apply_rules(fold_weight_norm(state, keep=("wavlm_encoder.",)), ENCODER_RULES)


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}


@pytest.fixture(scope="module")
def encoder_state() -> dict[str, Tensor]:
    with torch.device("meta"):
        return CodecEncoder(CodecConfig()).state_dict()


def test_the_published_codec_fills_the_encoder_exactly(encoder_state: dict[str, Tensor]) -> None:
    mapped = mapped_codec(published(LAYOUT["AudioDiffusion1D"]))
    assert mapped.unknown == []
    assert shapes(mapped.state) == shapes(encoder_state)


def test_of_what_the_layout_calls_needed_only_constants_are_left_out() -> None:
    uses = {entry["name"]: entry["use"] for entry in LAYOUT["AudioDiffusion1D"]}
    mapped = mapped_codec(published(LAYOUT["AudioDiffusion1D"]))
    assert all(mapped.ignored.values())
    dropped = {name for name in mapped.ignored if uses.get(name, "").startswith("encode")}
    assert dropped
    assert {mapped.ignored[name] for name in dropped} == {"a constant that is computed"}


def test_music_s_own_checkpoint_fills_the_same_tensors(encoder_state: dict[str, Tensor]) -> None:
    state = published(LAYOUT["MusicFM_checkpoint"]["entries"])
    mapped = apply_rules(fold_weight_norm(state), music_rules())
    assert mapped.unknown == []
    want = {name: t for name, t in encoder_state.items() if name.startswith("features.music.")}
    assert shapes(mapped.state) == shapes(want)


def test_quantizer_rules_alone_fill_the_quantizers() -> None:
    with torch.device("meta"):
        want = Quantizers(CodecConfig()).state_dict(prefix="quantizers.")
    mapped = apply_rules(published(LAYOUT["AudioDiffusion1D"]), QUANTIZER_RULES)
    assert shapes(mapped.state) == shapes(want)


def test_both_spellings_of_wavlm_s_weight_norm() -> None:
    magnitude, direction = torch.rand(1, 1, 8), torch.rand(6, 3, 8)
    newer = {
        POSITIONS + "parametrizations.weight.original0": magnitude,
        POSITIONS + "parametrizations.weight.original1": direction,
    }
    older = {POSITIONS + "weight_g": magnitude, POSITIONS + "weight_v": direction}
    for state in (newer, older):
        mapped = mapped_codec(state)
        ours = "features.wavlm.encoder.pos_conv_embed.conv.parametrizations.weight.original"
        assert mapped.state.keys() == {ours + "0", ours + "1"}
        assert mapped.state[ours + "0"] is magnitude
        assert mapped.state[ours + "1"] is direction


def test_the_codebook_is_not_its_moving_average() -> None:
    name = "vq_acoustic.layers.4._codebook."
    state = {name + "embed": torch.ones(1, 5, 2), name + "embed_avg": torch.zeros(1, 5, 2)}
    mapped = apply_rules(state, QUANTIZER_RULES)
    assert torch.equal(mapped.state["quantizers.acoustic.codebooks.4"], torch.ones(5, 2))
    assert list(mapped.ignored) == [name + "embed_avg"]


def test_a_new_name_is_reported() -> None:
    assert mapped_codec({"vq_acoustic.novelty": torch.zeros(1)}).unknown == ["vq_acoustic.novelty"]
