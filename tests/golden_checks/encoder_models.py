"""Encoders with the recorded weights, built from what the files say about sizes."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn

from tests.golden_checks.vectors import GoldenPair
from uniaudio2.checkpoint.published.encoder_names import ENCODER_RULES, music_rules
from uniaudio2.checkpoint.rules import apply_rules, fold_weight_norm, load_exactly
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.music import MusicFM
from uniaudio2.config import CodecConfig, MusicConfig, VqConfig


def music_config(sizes: dict[str, Any], layers: int, semantic_layer: int) -> MusicConfig:
    return MusicConfig(
        dim=sizes["encoder_dim"],
        conv_dim=sizes["conv_dim"],
        layers=layers,
        heads=sizes["heads"],
        mlp_dim=sizes["inter"],
        conv_kernel=sizes["kernel"],
        mel_bins=sizes.get("n_mels", MusicConfig().mel_bins),
        semantic_layer=semantic_layer,
    )


def codec_config(info: dict[str, Any]) -> CodecConfig:
    """The codec's configuration from a file's description."""
    config, frozen = info["config"], info.get("frozen_configs", {})
    sizes = config["CFG"]
    whisper = {**config["whisper"], **frozen.get("whisper", {})}
    if "activation" in whisper:
        whisper["activation_function"] = whisper.pop("activation")
    positions = whisper.pop("max_source_positions", 1500)
    samples = {row["segment_samples"] for row in info.get("segmentation", {}).values()}
    default = CodecConfig()
    frames = positions // 2
    extra = samples.pop() - frames * default.frame_samples if samples else 240
    music = {**config["music"], **frozen.get("music", {})}
    layers = music.get("encoder_depth", MusicConfig().layers)
    # Not validated: a recorded set may have another number of levels than the published one.
    return CodecConfig.model_construct(
        segment_frames=frames,
        segment_extra_samples=extra,
        dim=sizes["codec_dim"],
        query_layers=sizes["enc_depth"],
        query_head_dim=sizes["dim_heads"],
        query_interval=sizes["interval"],
        film_strength=sizes["gamma"],
        whisper=whisper,
        wavlm={**config["wavlm"], **frozen.get("wavlm", {})},
        music=music_config(music, layers, MusicConfig().semantic_layer),
        reasoning=VqConfig(levels=sizes["rq"], size=sizes["rq_size"], dim=sizes["rq_dim"]),
        pronunciation=VqConfig(levels=1, size=sizes["vq_size"], dim=sizes["vq_dim"]),
        structure=VqConfig(levels=1, size=sizes["vq_size"], dim=sizes["vq_dim"]),
        acoustic=VqConfig(levels=sizes["ac_n"], size=sizes["vq_size"], dim=sizes["vq_dim"]),
    )


def mapped_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under our names; no name may be unknown."""
    mapped = apply_rules(fold_weight_norm(weights, keep=("wavlm_encoder.",)), ENCODER_RULES)
    assert not mapped.unknown, mapped.unknown
    return mapped.state


def load_below(module: nn.Module, state: dict[str, Tensor], prefix: str) -> None:
    """Fill a module from the part of a state dict that lies below a prefix."""
    below = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    load_exactly(module, below)


@cache
def trained_part(pair: GoldenPair) -> CodecEncoder:
    """An encoder with the weights of everything but the frozen encoders."""
    encoder = CodecEncoder(codec_config(pair.info))
    state = mapped_weights(pair.weights)
    for part in ("thinking", "branches", "quantizers"):
        load_below(encoder.get_submodule(part), state, part + ".")
    return encoder


@cache
def whole_encoder(pair: GoldenPair) -> CodecEncoder:
    """An encoder with every weight: the frozen ones of this file, the rest of its sibling."""
    encoder = CodecEncoder(codec_config(pair.info))
    load_exactly(encoder, mapped_weights({**pair.sibling("encode").weights, **pair.weights}))
    return encoder


@cache
def music_model(pair: GoldenPair) -> tuple[MusicFM, dict[str, Tensor]]:
    sizes = pair.info["config"]
    depth = sizes["encoder_depth"]
    config = music_config(sizes, depth + 1, depth).model_copy(update={"acoustic_layer": 0})
    model = MusicFM(config, sizes["sample_rate"]).eval()
    mapped = apply_rules(
        fold_weight_norm(pair.weights), music_rules(r"model\.", ours="", depth=depth)
    )
    assert not mapped.unknown, mapped.unknown
    load_exactly(model, mapped.state)
    return model, pair.weights
