"""A codec small enough to run in milliseconds: two-second segments, a few channels."""

from __future__ import annotations

import torch

from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.features import Features
from uniaudio2.config import CodecConfig, MusicConfig, VqConfig

MUSIC = MusicConfig(
    dim=16,
    conv_dim=4,
    layers=4,
    heads=2,
    mlp_dim=16,
    conv_kernel=5,
    mel_bins=16,
    acoustic_layer=1,
    semantic_layer=3,
)

CONFIG = CodecConfig(
    segment_frames=50,
    dim=64,
    query_layers=2,
    query_head_dim=32,
    whisper={
        "d_model": 8,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "num_mel_bins": 20,
    },
    wavlm={
        "hidden_size": 12,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
    wavlm_layers=(1, 3),
    music=MUSIC,
    reasoning=VqConfig(levels=8, size=32, dim=8),
    pronunciation=VqConfig(levels=1, size=48, dim=6),
    structure=VqConfig(levels=1, size=48, dim=6),
    acoustic=VqConfig(levels=6, size=48, dim=6),
)


@torch.no_grad()
def small_encoder() -> CodecEncoder:
    """An encoder with random weights, the same at every call.

    The weights are larger than a library would draw them, so that codes follow the audio.
    """
    encoder = CodecEncoder(CONFIG)
    generator = torch.Generator().manual_seed(7)
    for parameter in encoder.parameters():
        if parameter.ndim > 1 and parameter.numel() > 1:
            gain = 1.5 * parameter[0].numel() ** -0.5
            parameter.copy_(gain * torch.randn(parameter.shape, generator=generator))
    return encoder


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    """``[samples]`` float32 of seeded noise at a plausible level."""
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def random_features(frames: int, batch: int = 2) -> Features:
    """Features of `frames` 25 Hz frames in the small codec's widths."""
    generator = torch.Generator().manual_seed(3)
    sizes = ((8, 2 * frames), (12, 2 * frames), (16, frames), (16, frames))
    return Features(*(torch.randn(batch, *size, generator=generator) for size in sizes))
