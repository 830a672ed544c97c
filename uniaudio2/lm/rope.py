"""Computes rotary positions with Llama-3 frequency scaling, in float32 for any model dtype."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uniaudio2.config import RopeConfig


def frequencies(config: RopeConfig, head_dim: int) -> Tensor:
    """Compute the angle per position of every rotated pair; ``factor`` slows long wavelengths down.

    Returns:
        ``[head_dim / 2]`` float32.
    """
    exponent = torch.arange(0, head_dim, 2, device="cpu").float() / head_dim
    plain = 1.0 / (config.base**exponent)  # [head / 2]
    wavelength = 2 * math.pi / plain
    band = config.high_freq_factor - config.low_freq_factor
    short = (config.original_context / wavelength - config.low_freq_factor) / band
    share = short.clamp(0, 1)
    return (1 - share) * (plain / config.factor) + share * plain


def rope_tables(config: RopeConfig, head_dim: int, positions: int) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines of positions ``0 .. positions - 1``, each half of a head repeated.

    Returns:
        Two ``[positions, head_dim]`` float32 tensors on the CPU.
    """
    angles = torch.outer(
        torch.arange(positions, device="cpu").float(), frequencies(config, head_dim)
    )  # [P, head / 2]
    doubled = angles.repeat(1, 2)  # [P, head]
    return doubled.cos(), doubled.sin()


def signed(sin: Tensor) -> Tensor:
    """Negate the first half of sines ``[..., head]``, as `rotate` takes them."""
    left, right = sin.chunk(2, dim=-1)
    return torch.cat((-left, right), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate heads by their position; the pairs are (j, j + head / 2).

    Args:
        x: ``[B, H, T, head]``, of any dtype; its products with float32 are float32.
        cos: float32, broadcastable to `x`.
        sin: of `signed`, so that it is a product that changes a sign, and no step of its own.
    """
    left, right = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((right, left), dim=-1) * sin).to(x.dtype)


class Rope:
    """Keeps the tables of one stack, made once per device and never part of a state dict.

    Args:
        config: base and scaling.
        head_dim: width of a head.
        context: positions that the stack can meet.
    """

    def __init__(self, config: RopeConfig, head_dim: int, context: int) -> None:
        self.config = config
        self.head_dim = head_dim
        self.context = context
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Give cosines and `signed` sines ``[context, head]`` on `device`."""
        if device not in self._tables:
            with torch.inference_mode(False):  # a table first used there must still serve training
                cos, sin = rope_tables(self.config, self.head_dim, self.context)
                self._tables[device] = (cos.to(device), signed(sin).to(device))
        return self._tables[device]
