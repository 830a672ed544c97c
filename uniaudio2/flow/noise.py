"""The noise that decoding starts from: one stream per row, whoever its neighbours are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NoiseSource = Callable[[int, int, int], Tensor]
"""Takes row, latent frames and channels; gives the row's next window of noise, ``[frames,
channels]`` float32."""


def seeded_noise(seeds: Sequence[int]) -> NoiseSource:
    """Draw standard normal noise on the CPU, the same on every device.

    Args:
        seeds: one a row; a row's windows follow each other in its own stream.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(row: int, frames: int, channels: int) -> Tensor:
        return torch.randn(frames, channels, generator=generators[row])

    return draw
