"""A decoder small enough to run in milliseconds: windows of 12 codes, 12 samples a code."""

from __future__ import annotations

import torch
from torch import nn

from tests.uniaudio2.codec.small import CONFIG as CODEC
from uniaudio2.config import FlowConfig, ScalarConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.tokens.codes import Codes

FLOW = FlowConfig(layers=2, heads=2, head_dim=8, window_codes=12, steps=2)
SCALAR = ScalarConfig(
    causal=True,
    downsample_factors=(2, 3),
    downsample_kernel_sizes=(4, 6),
    upsample_factors=(3, 2),
    upsample_kernel_sizes=(6, 4),
    latent_hidden_dim=5,
    init_channel=4,
)

ODD_SCALAR = SCALAR.model_copy(
    update={
        "causal": False,
        "downsample_factors": (2, 2, 5),
        "downsample_kernel_sizes": (4, 4, 10),
        "upsample_factors": (5, 2, 2),
        "upsample_kernel_sizes": (10, 4, 4),
    }
)
"""Not causal, and with an odd factor: decoding gives a few samples too many."""


@torch.no_grad()
def randomised(module: nn.Module) -> nn.Module:
    """Weights that pass signals on at their level, the same at every call."""
    generator = torch.Generator().manual_seed(11)
    for parameter in module.parameters():
        gain = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
        parameter.copy_(gain * torch.randn(parameter.shape, generator=generator))
    return module.requires_grad_(False)


def small_decoder(scalar: ScalarConfig = SCALAR) -> FlowDecoder:
    decoder = FlowDecoder(FLOW, CODEC, scalar)
    randomised(decoder)
    return decoder


def random_codes(frames: int, seed: int = 0, reason_frames: int = 0) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    return Codes(
        torch.randint(0, CODEC.reasoning.size, (reason_frames, 8), generator=generator),
        torch.randint(0, CODEC.acoustic.size, (frames, 8), generator=generator),
    )
