"""Residual vector quantizers of the codec: continuous frames to codes, and codes to frames.

The encoder searches here, the flow decoder looks up here; both hold the same `Quantizers`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.config import CodecConfig, VqConfig

# The published search clamps squared distances here, so anything closer counts as a tie.
_SMALLEST_SQUARED_DISTANCE = 1e-8


def nearest_codes(residual: Tensor, codebook: Tensor) -> Tensor:
    """Find the closest vector of a codebook; of equal distances the lowest index wins.

    Args:
        residual: ``[B, T, d]`` float32.
        codebook: ``[K, d]`` float32.

    Returns:
        ``[B, T]`` int64 indices, found as published: Euclidean distances in float32, expanded
        into squares and a product.
    """
    squares = residual.square().sum(-1, keepdim=True) + codebook.square().sum(-1)  # [B, T, K]
    squares = torch.add(squares, residual @ codebook.T, alpha=-2)
    return squares.clamp(min=_SMALLEST_SQUARED_DISTANCE).sqrt().argmin(dim=-1)


class ResidualVQ(nn.Module):
    """Residual vector quantizer: project in, quantize the residual level by level, project out.

    Args:
        config: number of levels, codebook size and codebook width.
        dim: width of the frames outside.
    """

    def __init__(self, config: VqConfig, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(dim, config.dim)
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.randn(config.size, config.dim)) for _ in range(config.levels)
        )
        self.project_out = nn.Linear(config.dim, dim)

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize frames.

        Args:
            frames: ``[B, T, dim]`` float32.

        Returns:
            codes ``[B, T, levels]`` int64 and the quantized frames ``[B, T, dim]``.
        """
        residual = self.project_in(frames)  # [B, T, d]
        total = torch.zeros_like(residual)
        codes = []
        for codebook in self.codebooks:
            index = nearest_codes(residual, codebook)  # [B, T]
            chosen = functional.embedding(index, codebook)  # [B, T, d]
            residual = residual - chosen
            total = total + chosen
            codes.append(index)
        return torch.stack(codes, dim=-1), self.project_out(total)

    def lookup(self, codes: Tensor) -> Tensor:
        """Look up the vectors of codes ``[B, T, levels]``: ``[levels, B, T, d]`` float32."""
        return torch.stack(
            [
                functional.embedding(codes[..., level], codebook)
                for level, codebook in enumerate(self.codebooks)
            ]
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes back into frames.

        Args:
            codes: ``[B, T, levels]`` int64, each below the codebook size.

        Returns:
            ``[B, T, dim]`` float32, the quantized frames of `encode` up to the rounding of a sum.
        """
        frames: Tensor = self.project_out(self.lookup(codes).sum(dim=0))
        return frames


class Quantizers(nn.Module):
    """The four quantizers of the codec and the adaptor behind the reasoning codes.

    Args:
        config: the codec's configuration.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.reasoning = ResidualVQ(config.reasoning, config.dim)
        self.pronunciation = ResidualVQ(config.pronunciation, config.dim)
        self.structure = ResidualVQ(config.structure, config.dim)
        self.acoustic = ResidualVQ(config.acoustic, config.dim)
        self.reason_adaptor = nn.Linear(config.dim, config.dim)

    def encode_recon(self, pronunciation: Tensor, structure: Tensor, acoustic: Tensor) -> Tensor:
        """Quantize the frames of the three branches, each ``[B, T, dim]`` float32.

        Returns:
            ``[B, T, 8]`` int64, in the order that `recon_embedding` reads.
        """
        codes = [
            self.pronunciation.encode(pronunciation)[0],
            self.structure.encode(structure)[0],
            self.acoustic.encode(acoustic)[0],
        ]
        return torch.cat(codes, dim=-1)

    def recon_embedding(self, codes: Tensor) -> Tensor:
        """Embed reconstruction codes: the sum of the three branches.

        Args:
            codes: ``[B, T, 8]`` int64; columns are pronunciation, structure, acoustic levels.

        Returns:
            ``[B, T, dim]`` float32 at 12.5 Hz.
        """
        pronunciation, structure, acoustic = codes[..., :1], codes[..., 1:2], codes[..., 2:]
        return (
            self.pronunciation.decode(pronunciation)
            + self.structure.decode(structure)
            + self.acoustic.decode(acoustic)
        )

    def reason_embedding(self, codes: Tensor, frames: int) -> Tensor:
        """Embed reasoning codes at the rate of the reconstruction codes.

        Args:
            codes: ``[B, Tq, 8]`` int64, ``Tq`` at least 1.
            frames: how many 12.5 Hz frames are wanted.

        Returns:
            ``[B, frames, dim]`` float32; the last code is held when ``2.5 * Tq < frames``.
        """
        return self.adapt_reasoning(self.reasoning.decode(codes), frames)

    def adapt_reasoning(self, quantized: Tensor, frames: int) -> Tensor:
        """Adapt quantized reasoning frames ``[B, Tq, dim]`` and repeat them 2.5 times.

        Output frame ``i`` is input frame ``floor(2i / 5)``, the published nearest up-sampling.

        Returns:
            ``[B, frames, dim]`` float32.
        """
        source = torch.arange(frames, device=quantized.device) * 2 // 5
        adapted: Tensor = self.reason_adaptor(quantized)
        return adapted[:, source.clamp(max=quantized.shape[1] - 1)]
