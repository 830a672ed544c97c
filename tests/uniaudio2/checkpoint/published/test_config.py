"""The full-size configuration comes out of names, shapes and settings alone, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from uniaudio2.checkpoint.published.config import build_config
from uniaudio2.checkpoint.published.convert import check_codec_weights, check_lm_weights
from uniaudio2.checkpoint.published.lm_config import marker_notes
from uniaudio2.checkpoint.published.weights import CodecWeights, name_lm
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.config import (
    CodecConfig,
    FlowConfig,
    LmConfig,
    ModelConfig,
    ScalarConfig,
    SpecialIds,
)
from uniaudio2.flow.decoder import FlowDecoder

LAYOUTS = Path(__file__).parents[3] / "layouts"
LLM: dict[str, Any] = {
    "llm_name": "meta-llama/Llama-3.2-3B",
    "local_model": "meta-llama/Llama-3.2-300M-Instruct",
    "audio_reason_card": 4100,
    "audio_semantic_card": 8200,
    "parallel_number": 9,
    "reason_bos": 4096,
    "reason_eos": 4097,
    "reason_pad_token": 4099,
    "semantic_bos": 8192,
    "semantic_eos": 8193,
    "semantic_pad_token": 8194,
    "audio_prompt_bos": 12296,
    "audio_prompt_eos": 12297,
    "text_pad_token": 128_020,
}
FLOW = {
    "num_layers": 32,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "in_channels": 1040,
    "out_channels": 136,
    "norm_type": "ada_norm_single",
}


def published_lm(variant: str) -> dict[str, Tensor]:
    """Every published tensor of the language model, on the meta device."""
    layout = json.loads((LAYOUTS / "checkpoint-layout-llm.json").read_text())
    cards = LLM["audio_reason_card"] + LLM["audio_semantic_card"]

    def size(length: int | str) -> int:
        """A length, which may be a multiple of the cards: ``A`` or ``8*A``."""
        if isinstance(length, int):
            return length
        return cards * int(length.replace("A", "").strip("* ") or 1)

    return {
        name: torch.empty([size(length) for length in shape], device="meta")
        for name, shape, _ in layout["variants"][variant]["tensors"]
    }


@pytest.fixture(scope="module")
def codec() -> CodecWeights:
    with torch.device("meta"):
        encoder = CodecEncoder(CodecConfig()).state_dict()
        decoder = FlowDecoder(FlowConfig(), CodecConfig(), ScalarConfig()).state_dict()
    return CodecWeights(dict(encoder), dict(decoder))


def settings(folder: Path, **changes: Any) -> dict[str, Path]:
    contents = {
        "llm_settings": LLM | changes,
        "flow": FLOW,
        "scalar_settings": {"generator": {"config": ScalarConfig().model_dump(mode="json")}},
        "whisper": {**CodecConfig().whisper, "decoder_layers": 24},
        "wavlm": {"hidden_size": 768, "num_hidden_layers": 12, "_name_or_path": "wavlm-base-plus"},
    }
    files = {"codec": folder / "ReasoningCodec.checkpoint"}
    for name, content in contents.items():
        files[name] = folder / f"{name}.yaml"
        files[name].write_text(yaml.safe_dump(content))
    return files


@pytest.mark.parametrize(("variant", "layers"), [("Llama-3.2-300M", 4), ("Llama-3.2-1B", 16)])
def test_the_published_sizes_are_our_defaults(
    tmp_path: Path, codec: CodecWeights, variant: str, layers: int
) -> None:
    """The depth of the local decoder comes from its tensors, whatever the settings call it."""
    lm = published_lm(variant)
    config = build_config(settings(tmp_path), lm, codec, None)
    local = LmConfig().local_decoder.model_copy(update={"layers": layers})
    assert config.lm == LmConfig(local_decoder=local)
    assert config.flow == FlowConfig()
    assert config.scalar == ScalarConfig()
    assert config.codec.model_dump(exclude={"wavlm"}) == CodecConfig().model_dump(exclude={"wavlm"})
    assert config.codec.wavlm == {"hidden_size": 768, "num_hidden_layers": 12}
    check_codec_weights(config, codec)
    check_lm_weights(config.lm, name_lm(lm, config.lm, ()).state)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_a_codec_of_another_kind_is_refused(tmp_path: Path, codec: CodecWeights) -> None:
    lm = published_lm("Llama-3.2-300M")
    files = settings(tmp_path, audio_reason_card=2000, audio_semantic_card=10_300)
    with pytest.raises(ValueError, match="card of 2000 must hold the codec's 4096 codes"):
        build_config(files, lm, codec, None)


def test_markers_that_are_codes_too_are_told() -> None:
    assert marker_notes(LmConfig()) == []
    ids = SpecialIds(reason_eos=4095, semantic_pad=0, audio_prompt_bos=8196)
    assert marker_notes(LmConfig(ids=ids)) == [
        "reason_eos 4095 is also the id of a code",
        "semantic_pad 0 is also the id of a code",
        "audio_prompt_bos 8196 is also the id of a code",
    ]
