"""The configuration of a published checkpoint folder, from its settings and tensor shapes.

What neither tells (rotary embedding, tags, window and steps of the flow, heads of MusicFM) comes
from a base, which is the published full-size model unless the caller knows better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniaudio2.checkpoint.published.lm_config import lm_config
from uniaudio2.checkpoint.published.settings import (
    State,
    checked,
    count,
    field_of,
    integer,
    read_settings,
    shape,
)
from uniaudio2.checkpoint.published.weights import CodecWeights
from uniaudio2.config import (
    CodecConfig,
    FlowConfig,
    ModelConfig,
    MusicConfig,
    ScalarConfig,
    VqConfig,
)

NAME = "uniaudio2"

_WHISPER_KEYS = (
    "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins",
    "activation_function",
)  # fmt: skip
_WAVLM_KEYS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "layer_norm_eps", "feat_extract_norm", "feat_extract_activation", "conv_dim", "conv_stride",
    "conv_kernel", "conv_bias", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups",
    "num_buckets", "max_bucket_distance", "do_stable_layer_norm",
)  # fmt: skip


def build_config(
    files: Mapping[str, Path], lm: State | None, codec: CodecWeights, base: ModelConfig | None
) -> ModelConfig:
    """Build the configuration and check every setting against the tensors.

    Args:
        files: from `layout.find_all`.
        lm: the language model's tensors by published name; None for a codec alone.
        codec: the codec's tensors by our names.
        base: what no file tells, head counts included; None for the published model, whose
            settings name the head counts.

    Raises:
        ValueError: a setting is missing or does not fit; file, value, rule and remedy.
    """
    known = base or ModelConfig(name=NAME)
    codec_config = _codec_config(files, codec.encoder, known.codec)
    scalar = _scalar_config(files["scalar_settings"])
    lm_settings = known.lm
    if lm is not None:
        named = base is None
        lm_settings = lm_config(files["llm_settings"], lm, codec_config, known.lm, named)
    return checked(
        ModelConfig,
        files["scalar_settings"],
        name=known.name if lm is not None else f"{known.name}-codec",
        codec_only=lm is None,
        lm=lm_settings,
        codec=codec_config,
        flow=_flow_config(files["flow"], codec_config, scalar, known.flow),
        scalar=scalar,
    )


# ---- codec -----------------------------------------------------------------------------------


def _codec_config(files: Mapping[str, Path], state: State, base: CodecConfig) -> CodecConfig:
    kept = base.model_dump(include={
        "sample_rate", "segment_extra_samples", "query_interval", "film_strength", "wavlm_layers",
    })  # fmt: skip
    return checked(
        CodecConfig,
        files["codec"],
        **kept,
        segment_frames=shape(state, "features.whisper.embed_positions.weight")[0] // 2,
        dim=shape(state, "quantizers.reason_adaptor.weight")[0],
        query_layers=count(state, r"thinking\.blocks\.\d+\.qkv\.weight"),
        query_head_dim=shape(state, "thinking.blocks.0.q_norm.weight")[0],
        whisper=_only(read_settings(files["whisper"]), _WHISPER_KEYS),
        wavlm=_only(read_settings(files["wavlm"]), _WAVLM_KEYS),
        music=_music_config(state, base.music),
        **{
            name: _vq_config(state, f"quantizers.{name}.codebooks.")
            for name in ("reasoning", "pronunciation", "structure", "acoustic")
        },
    )


def _only(settings: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: settings[key] for key in keys if key in settings}


def _vq_config(state: State, prefix: str) -> VqConfig:
    size, dim = shape(state, prefix + "0")
    return VqConfig(levels=count(state, re.escape(prefix) + r"\d+"), size=size, dim=dim)


def _music_config(state: State, base: MusicConfig) -> MusicConfig:
    music = "features.music."
    dim, merged = shape(state, music + "front_end.linear.weight")
    conv_dim = shape(state, music + "front_end.blocks.0.conv1.weight")[0]
    kernel = shape(state, music + "layers.0.conv_module.depthwise_conv.weight")[-1]
    sizes = {
        "dim": dim,
        "conv_dim": conv_dim,
        "mel_bins": 4 * merged // conv_dim,  # the front end halves the bands twice
        "mlp_dim": shape(state, music + "layers.0.ffn1.intermediate_dense.weight")[0],
        "conv_kernel": kernel,
    }
    return MusicConfig(**{**base.model_dump(), **sizes})


# ---- decoder ---------------------------------------------------------------------------------


def _scalar_config(path: Path) -> ScalarConfig:
    content: Any = read_settings(path)
    for name in ("generator", "config"):
        content = content.get(name) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        raise ValueError(f"{path} has no generator.config; download it again")
    for name in ScalarConfig.model_fields:
        field_of(content, name, path)
    return checked(ScalarConfig, path, **content)


def _flow_config(
    path: Path, codec: CodecConfig, scalar: ScalarConfig, base: FlowConfig
) -> FlowConfig:
    settings = read_settings(path)
    latent = scalar.latent_hidden_dim
    expected = {"in_channels": 2 * latent + codec.dim, "out_channels": latent}
    for name, wanted in expected.items():
        if integer(settings, name, path) != wanted:
            raise ValueError(
                f"{path}: {name} {settings[name]} must be {wanted} for {latent} latent channels "
                f"and a codec of width {codec.dim}; take all files from one release"
            )
    sizes = {
        "layers": integer(settings, "num_layers", path),
        "heads": integer(settings, "num_attention_heads", path),
        "head_dim": integer(settings, "attention_head_dim", path),
    }
    return checked(FlowConfig, path, **{**base.model_dump(), **sizes})
