"""Half-split rotary positions, as the codec's transformers use them."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 10_000.0


def rotary_table(frames: int, width: int, device: torch.device) -> Tensor:
    """Tabulate the rotations of positions ``0 .. frames - 1``.

    Args:
        frames: number of positions.
        width: rotated channels; pair ``(i, i + width / 2)`` is rotated by
            ``position * 10000 ** (-2 i / width)``.
        device: where the table is made.

    Returns:
        ``[2, frames, width]`` float32: cosines, then sines, each half a copy of the other.
    """
    exponents = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
    angles = torch.arange(frames, device=device)[:, None] * (1.0 / _BASE**exponents)
    angles = torch.cat([angles, angles], dim=-1)  # [frames, width]
    return torch.stack([angles.cos(), angles.sin()])


def rotate(states: Tensor, table: Tensor) -> Tensor:
    """Rotate the first channels of ``[..., frames, channels]``; those beyond the table pass."""
    cosine, sine = table
    width = table.shape[-1]
    turned, untouched = states[..., :width], states[..., width:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cosine + torch.cat([-second, first], dim=-1) * sine
    return torch.cat([turned, untouched], dim=-1)
