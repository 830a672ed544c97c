"""The flow transformer: a velocity for every latent frame (published ``Transformer1DModel``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.config import FlowConfig
from uniaudio2.runtime.attention import attention
from uniaudio2.runtime.frame_conv import frame_conv
from uniaudio2.runtime.packed_linear import linear

_NORM_EPS = 1e-6
_MAX_PERIOD = 10_000.0
_TIME_SCALE = 1000.0
_TIME_WIDTH = 512
_KERNEL = 3


@lru_cache(maxsize=8)
def position_table(frames: int, dim: int, device: torch.device) -> Tensor:
    """Tabulate sinusoidal positions.

    Returns:
        ``[frames, dim]`` float32; sines in the even columns, cosines in the odd ones.
    """
    columns = torch.arange(0, dim, 2, device=device, dtype=torch.float32)
    angles = torch.arange(frames, device=device)[:, None] * torch.exp(
        columns * (-math.log(_MAX_PERIOD) / dim)
    )  # [frames, dim / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def time_table(times: Tensor) -> Tensor:
    """Tabulate sinusoids of flow times.

    Args:
        times: ``[S]`` float32 in [0, 1].

    Returns:
        ``[S, 512]`` float32: cosines, then sines.
    """
    half = _TIME_WIDTH // 2
    columns = torch.arange(half, device=times.device, dtype=torch.float32)
    frequencies = torch.exp(-math.log(_MAX_PERIOD) * columns / half)
    # The published order of the products; at angles near 1000 another one shows in the cosines.
    angles = _TIME_SCALE * (times[:, None] * frequencies)  # [S, 256]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


@dataclass(frozen=True)
class FlowTimes:
    """Embeddings of flow times, as the layers read them.

    Attributes:
        vector: ``[S, dim]`` float32.
        modulation: ``[S, 6, dim]`` float32, added to the table of every block.
    """

    vector: Tensor
    modulation: Tensor

    def at(self, step: int) -> FlowTimes:
        """Select one time, for every item of a batch."""
        return FlowTimes(self.vector[step : step + 1], self.modulation[step : step + 1])


def modulated_norm(frames: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm of ``[B, T, dim]``, then scale and shift of ``[B or 1, 1, dim]``."""
    width = frames.shape[-1:]
    if len(scale) == 1 and not torch.is_grad_enabled():  # one time for all: part of the norm
        return functional.layer_norm(frames, width, (1 + scale).view(-1), shift.view(-1), _NORM_EPS)
    return functional.layer_norm(frames, width, eps=_NORM_EPS) * (1 + scale) + shift


class Projection(nn.Module):
    """A convolution over neighbouring frames, scaled down, and a linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, _KERNEL, padding=_KERNEL // 2)
        self.linear = nn.Linear(outputs, outputs)

    def forward(self, frames: Tensor) -> Tensor:
        conv = self.conv
        convolved = frame_conv(frames, conv.weight, conv.bias, padding=_KERNEL // 2)
        projected: Tensor = self.linear(convolved * _KERNEL**-0.5)
        return projected


class FlowBlock(nn.Module):
    """Attention and feed-forward, both shifted, scaled and gated by the flow time.

    Args:
        config: the flow's configuration.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.table = nn.Parameter(torch.empty(6, dim))
        nn.init.normal_(self.table, std=dim**-0.5)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_in = nn.Linear(dim, 4 * dim)
        self.mlp_out = nn.Linear(4 * dim, dim)

    def attend(self, frames: Tensor) -> Tensor:
        """Self-attention without a mask: ``[B, T, dim]`` to the same shape."""
        query, key, value = (
            layer(frames).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, T, head_dim]
            for layer in (self.query, self.key, self.value)
        )
        mixed = attention(query, key, value)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def forward(self, frames: Tensor, modulation: Tensor) -> Tensor:
        modulations = (self.table + modulation).unsqueeze(2).unbind(1)  # six of [B or 1, 1, dim]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulations
        attended = self.attend(modulated_norm(frames, shift1, scale1))
        frames = torch.addcmul(frames, gate1, attended)
        inner = linear(self.mlp_in, modulated_norm(frames, shift2, scale2), "gelu_tanh")
        return torch.addcmul(frames, gate2, self.mlp_out(inner))


class FlowTransformer(nn.Module):
    """The velocity field.

    Args:
        config: the flow's configuration.
        latent: channels of a latent frame.
        dim: width of the conditioning.
    """

    def __init__(self, config: FlowConfig, latent: int, dim: int) -> None:
        super().__init__()
        self.proj_in = Projection(2 * latent + dim, config.dim)
        self.time_in = nn.Linear(_TIME_WIDTH, config.dim)
        self.time_out = nn.Linear(config.dim, config.dim)
        self.modulation = nn.Linear(config.dim, 6 * config.dim)
        self.blocks = nn.ModuleList(FlowBlock(config) for _ in range(config.layers))
        self.table = nn.Parameter(torch.empty(2, config.dim))
        nn.init.normal_(self.table, std=config.dim**-0.5)
        self.proj_out = Projection(config.dim, latent)

    def times(self, times: Tensor) -> FlowTimes:
        """Embed flow times ``[S]`` float32: those of a list of steps, or one per batch item."""
        vector = self.time_out(functional.silu(self.time_in(time_table(times))))  # [S, dim]
        modulation = self.modulation(functional.silu(vector)).unflatten(-1, (6, -1))
        return FlowTimes(vector, modulation)

    def forward(self, state: Tensor, incontext: Tensor, mu: Tensor, times: FlowTimes) -> Tensor:
        """Compute velocities.

        Args:
            state: ``[B, T, latent]`` float32, on its way from noise to latents.
            incontext: ``[B, T, latent]`` float32, the known frames, zero elsewhere.
            mu: ``[B, T, dim]`` float32, the conditioning.
            times: one time for the batch or one per item.

        Returns:
            ``[B, T, latent]`` float32.
        """
        frames = self.proj_in(torch.cat([state, incontext, mu], dim=-1))  # [B, T, dim]
        frames = frames + position_table(frames.shape[1], frames.shape[2], frames.device)
        for block in self.blocks:
            frames = block(frames, times.modulation)
        shift, scale = (self.table + times.vector[:, None]).unsqueeze(2).unbind(1)
        velocity: Tensor = self.proj_out(modulated_norm(frames, shift, scale))
        return velocity
