"""How residual quantizers learn: codebooks follow the averages of what they are chosen for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio2.codec.quantizers import ResidualVQ, nearest_codes

_DECAY = 0.98
_DEAD = 0.03  # a code chosen less often than this share of its due is given a new place


class LearningVQ(nn.Module):
    """Trains a `ResidualVQ` in place.

    The gradient passes the rounding; a commitment loss holds the frames near their codes. With
    fewer levels in some steps, the first ones learn to carry most.

    Args:
        vq: its codebooks stop being trained by gradient.
    """

    def __init__(self, vq: ResidualVQ) -> None:
        super().__init__()
        self.vq = vq
        levels, (size, dim) = len(vq.codebooks), vq.codebooks[0].shape
        for codebook in vq.codebooks:
            codebook.requires_grad_(False)
        self.register_buffer("chosen", torch.zeros(levels, size))
        self.register_buffer("sums", torch.zeros(levels, size, dim))
        self.chosen: Tensor
        self.sums: Tensor

    def forward(
        self, frames: Tensor, levels: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Quantize frames and, in training mode, move the codebooks.

        Args:
            frames: ``[B, T, dim]``.
            levels: how many levels to use.
            generator: chooses places for codes that nothing chooses.

        Returns:
            the quantized frames ``[B, T, dim]`` and the commitment loss.
        """
        inner = self.vq.project_in(frames)  # [B, T, d]
        residual = inner.detach()
        total = torch.zeros_like(residual)
        for level in range(levels):
            codebook = self.vq.codebooks[level]
            index = nearest_codes(residual, codebook)  # [B, T]
            chosen = F.embedding(index, codebook)
            if self.training:
                self._follow(level, residual.flatten(0, 1), index.flatten(), generator)
            residual = residual - chosen
            total = total + chosen
        commitment = F.mse_loss(inner, total)
        quantized: Tensor = self.vq.project_out(inner + (total - inner).detach())
        return quantized, commitment

    @torch.no_grad()
    def _follow(
        self, level: int, residual: Tensor, index: Tensor, generator: torch.Generator
    ) -> None:
        """Move one codebook towards the vectors ``[N, d]`` that chose its codes ``[N]``."""
        chosen, sums, codebook = self.chosen[level], self.sums[level], self.vq.codebooks[level]
        is_new = not bool(chosen.any())
        counts = torch.bincount(index, minlength=len(chosen)).to(chosen)
        chosen.mul_(_DECAY).add_(counts, alpha=1 - _DECAY)
        sums.mul_(_DECAY).index_add_(0, index, residual, alpha=1 - _DECAY)
        due = len(index) / len(chosen)
        dead = torch.ones_like(chosen, dtype=torch.bool) if is_new else chosen < _DEAD * due
        places = torch.randint(
            len(residual), (int(dead.sum()),), generator=generator, device="cpu"
        ).to(residual.device)
        chosen[dead] = due
        sums[dead] = residual[places] * due
        codebook.copy_(sums / chosen.clamp(min=1e-6)[:, None])
