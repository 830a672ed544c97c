"""A folder in the published layout, file by file, from the golden vectors."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from tests.golden_checks.decoder import SCALAR_PREFIX
from tests.golden_checks.encoder_models import codec_config
from tests.golden_checks.lm_recorded import lm_config
from tests.golden_checks.vectors import GoldenPair, discover
from tests.uniaudio2.checkpoint.foreign import save_with_settings, settings_of
from uniaudio2.config import FlowConfig, ModelConfig, ScalarConfig
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.lm.tokenizer import byte_tokenizer

FROZEN = {
    "whisper": "whisper_encoder.",
    "wavlm": "wavlm_encoder.",
    "music": "pretrained_model.model.model.",
}
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Recorded:
    """The families of one golden set that make a whole model.

    `wave` chooses what the scalar codec is: the recorded one, whose stride is tiny, or one drawn
    at random, whose stride fits the encoder's 24 kHz.
    """

    llm: GoldenPair
    codec: GoldenPair  # family chunks
    wave: str  # "recorded" or "full_rate"

    @property
    def frozen(self) -> GoldenPair:
        return self.codec.sibling("e2e")

    @property
    def latent(self) -> int:
        return self.codec.info["config"]["CFG"]["latent"]

    @property
    def scalar(self) -> ScalarConfig:
        if self.wave == "recorded":
            return ScalarConfig(**self.codec.info["config"]["sq"])
        return ScalarConfig(init_channel=1, latent_hidden_dim=self.latent)

    def base(self, window_codes: int = 4) -> ModelConfig:
        """What the files of the published layout do not tell about this model."""
        codec = codec_config(self.frozen.info)
        return ModelConfig.model_construct(
            name="golden",
            lm=lm_config(self.llm.info),
            codec=codec.model_copy(update={"sample_rate": 25 * self.scalar.stride}),
            flow=FlowConfig(window_codes=window_codes),
        )


def recorded(wave: str) -> Recorded:
    pairs = {pair.family: pair for pair in discover()}
    return Recorded(pairs["llm"], pairs["chunks"], wave)


def below(weights: Weights, prefix: str) -> Weights:
    return {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}


def _put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def write_published(folder: Path, source: Recorded) -> Path:
    """Write every file; a test then changes what it is about."""
    folder.mkdir(parents=True)
    write_lm(folder, source.llm)
    write_codec(folder, source)
    write_frozen(folder, source.frozen)
    return folder


def write_lm(folder: Path, pair: GoldenPair) -> None:
    config, ids = pair.info["config"], pair.info["ids"]
    settings = {
        "llm_name": "meta-llama/Llama-3.2-3B-Instruct",
        "local_model": "meta-llama/Llama-3.2-300M",
        "audio_reason_card": config["audio_reason_card"],
        "audio_semantic_card": config["audio_semantic_card"],
        "llm_pretrained_model": "unused",
        **{name: value for name, value in ids.items() if re.fullmatch(MARKERS, name)},
    }
    (folder / "llm_config.yaml").write_text(yaml.safe_dump(settings))
    state = {"module." + name: tensor for name, tensor in pair.weights.items()}
    _put(folder / "llm_ep3.checkpoint", {"model": state, "optimizer": {"step": 4}, "epoch": 3})
    tokenizer = byte_tokenizer(lm_config(pair.info))
    (folder / "llama_tokenizer").mkdir()
    tokenizer.save(str(folder / "llama_tokenizer/tokenizer.json"))
    (folder / "audio_tasks_prompts.json").write_text(json.dumps({"TTS": ["text to speech"]}))


def write_base(folder: Path, base: ModelConfig) -> None:
    """Our own settings for what the other files do not tell."""
    (folder / "base_config.yaml").write_text(yaml.safe_dump(base.model_dump(mode="json")))


MARKERS = r"parallel_number|(reason|semantic|text|audio_prompt)_(bos|eos|pad_token)"


def codec_weights(source: Recorded) -> Weights:
    """Encoder and decoder in one state dict, as ``AudioDiffusion1D`` has them."""
    flow = {n: t for n, t in source.codec.weights.items() if not n.startswith(SCALAR_PREFIX)}
    return {**flow, **source.codec.sibling("encode").weights}


def write_codec(folder: Path, source: Recorded) -> None:
    state = {"module." + name: tensor for name, tensor in codec_weights(source).items()}
    _put(folder / "ReasoningCodec.checkpoint", {"model": state, "step": 10})
    flow = source.codec.info["config"]["flow"]
    (folder / "model_config.json").write_text(json.dumps(flow))
    scalar = source.scalar.model_dump(mode="json")
    (folder / "sqcodec_config.yaml").write_text(
        yaml.safe_dump({"generator": {"name": "ScalarModel", "config": scalar}, "lr": 0.1})
    )
    weights = below(source.codec.weights, SCALAR_PREFIX)
    if source.wave != "recorded":
        weights = published_scalar(source.scalar)
    _put(folder / "sqcodec.pth", {"codec_model": weights, "optimizer": {}})


def published_scalar(config: ScalarConfig) -> Weights:
    """A drawn scalar codec under its published names, without weight norm."""
    torch.manual_seed(0)
    changes = ((r"units\.", "convs."), (r"\.up\.", ".up_conv.layer."))
    state = ScalarCodec(config, with_encoder=False).state_dict()
    for pattern, published in changes:
        state = {re.sub(pattern, published, name): tensor for name, tensor in state.items()}
    return dict(state)


def write_frozen(folder: Path, pair: GoldenPair) -> None:
    """Whisper as safetensors with a decoder, WavLM as a pickle in the older weight-norm spelling,
    MusicFM beside the settings of its training framework."""
    sizes = pair.info["frozen_configs"]
    whisper = dict(sizes["whisper"])
    whisper["activation_function"] = whisper.pop("activation", "gelu")
    hub = {"model.encoder." + n: t for n, t in below(pair.weights, FROZEN["whisper"]).items()}
    hub["model.decoder.embed_tokens.weight"] = torch.zeros(2)
    write_hub(folder / "whisper-medium", whisper)
    save_file(hub, folder / "whisper-medium/model.safetensors")
    (folder / "whisper-medium/tokenizer.json").write_text("{}")
    write_hub(folder / "wavlm", sizes["wavlm"])
    wavlm = below(pair.weights, FROZEN["wavlm"])
    wavlm = {
        re.sub(r"parametrizations\.weight\.original0", "weight_g", n): t for n, t in wavlm.items()
    }
    wavlm = {
        re.sub(r"parametrizations\.weight\.original1", "weight_v", n): t for n, t in wavlm.items()
    }
    _put(folder / "wavlm/pytorch_model.bin", wavlm)
    music = {"model." + n: t for n, t in below(pair.weights, FROZEN["music"]).items()}
    save_with_settings(folder / "music_ssl.pt", lambda make: {"model": music, **settings_of(make)})


def write_hub(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "transformers_version": "4.29"}))
