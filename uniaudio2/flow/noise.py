"""The noise that decoding starts from: one stream per clip, whatever else is in its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NoiseSource = Callable[[int, int, int], Tensor]
"""Takes a clip's index, latent frames and channels; gives the noise of the clip's next window,
``[frames, channels]`` float32."""


def seeded_noise(seeds: Sequence[int]) -> NoiseSource:
    """Draw standard normal noise on the CPU, the same on every device.

    Args:
        seeds: one per clip; a clip's windows follow each other in its own stream.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(clip: int, frames: int, channels: int) -> Tensor:
        return torch.randn(frames, channels, generator=generators[clip])

    return draw
