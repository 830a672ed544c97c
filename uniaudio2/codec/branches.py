"""The three reconstruction branches: features to 12.5 Hz frames, modulated by the reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from uniaudio2.codec.features import Features, concat_frames
from uniaudio2.config import CodecConfig
from uniaudio2.runtime.frame_conv import patch_linear

_FROM_25_HZ = 2
_FROM_50_HZ = 4


class Branch(nn.Module):
    """Down-samples features, fuses them, and modulates them by the reasoning frames (FiLM).

    The published code drops the modulation at random, a device of training that it forgets to
    switch off; here it always applies.

    Args:
        inputs: channels and down-sampling ratio of every feature.
        dim: width of the result.
        strength: how far the modulation may scale a channel.
    """

    def __init__(self, inputs: Sequence[tuple[int, int]], dim: int, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.downs = nn.ModuleList(
            nn.Conv1d(channels, channels, ratio, stride=ratio) for channels, ratio in inputs
        )
        self.fusion = nn.Linear(sum(channels for channels, _ in inputs), dim)
        self.film = nn.Linear(dim, 2 * dim)

    def fuse(self, *features: Tensor) -> Tensor:
        """Map features ``[B, C_i, ratio_i * T]`` to ``[B, T, dim]`` at 12.5 Hz."""
        small = [
            patch_linear(cast("nn.Conv1d", down), feature.transpose(1, 2))  # [B, T, C_i]
            for down, feature in zip(self.downs, features, strict=True)
        ]
        frames: Tensor = self.fusion(concat_frames(*small))
        return frames

    def modulate(self, frames: Tensor, reasoning: Tensor) -> Tensor:
        """Scale and shift ``[B, T, dim]`` as the reasoning frames ``[B, T, dim]`` say."""
        scale, shift = self.film(reasoning).chunk(2, dim=-1)
        modulated: Tensor = (1.0 + self.strength * torch.tanh(scale)) * frames + shift
        return modulated


class Branches(nn.Module):
    """The branches of pronunciation, structure and acoustics.

    Args:
        config: the codec's configuration.
        whisper_dim: channels of the Whisper features.
        wavlm_dim: channels of the WavLM features.
        music_dim: channels of the MusicFM features.
    """

    def __init__(
        self, config: CodecConfig, whisper_dim: int, wavlm_dim: int, music_dim: int
    ) -> None:
        super().__init__()
        dim, strength = config.dim, config.film_strength
        whisper, wavlm = (whisper_dim, _FROM_50_HZ), (wavlm_dim, _FROM_50_HZ)
        music = (music_dim, _FROM_25_HZ)
        self.pronunciation = Branch([wavlm], dim, strength)
        self.structure = Branch([music], dim, strength)
        self.acoustic = Branch([music, whisper], dim, strength)

    def fuse(self, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Run the branches up to the modulation.

        Returns:
            pronunciation, structure, acoustic frames, each ``[B, T, dim]`` at 12.5 Hz.
        """
        return (
            self.pronunciation.fuse(features.wavlm),
            self.structure.fuse(features.semantic),
            self.acoustic.fuse(features.acoustic, features.whisper),
        )

    def modulate(
        self, fused: tuple[Tensor, Tensor, Tensor], reasoning: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Modulate the three frames of `fuse` by reasoning frames ``[B, T, dim]``."""
        pronunciation, structure, acoustic = fused
        return (
            self.pronunciation.modulate(pronunciation, reasoning),
            self.structure.modulate(structure, reasoning),
            self.acoustic.modulate(acoustic, reasoning),
        )
