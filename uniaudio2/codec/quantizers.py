"""Residual vector quantizers of the codec: continuous frames to codes, and codes to frames.

The encoder searches here, the flow decoder looks up here; both hold the same `Quantizers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio2.config import CodecConfig, VqConfig
from uniaudio2.runtime.cuda_graphs import may_sync
from uniaudio2.runtime.packed_linear import PackedWeight, is_packable

# The published search clamps squared distances here, so anything closer counts as a tie.
_SMALLEST_SQUARED_DISTANCE = 1e-8
_ROUNDING = 1e-5  # of a squared distance, by the squares that it is the difference of
_GROUP = 64
_FRAMES_AT_ONCE = 128  # whose distances stay in a CPU's cache


class Codebook:
    """A codebook as the search reads it, made once.

    Args:
        vectors: ``[K, d]`` float32; must not change.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors.detach()
        self.half_squares = -0.5 * self.vectors.square().sum(-1)  # [K]
        packable = is_packable(self.vectors) and PackedWeight.is_possible()
        self._packed = PackedWeight(self.vectors) if packable else None

    def closeness(self, residual: Tensor) -> Tensor:
        """How near the vectors are to ``[N, d]``: ``[N, K]``, largest for the nearest one.

        The product less half of the vector's square: what is left of the squared distance, halved
        and negated, without the square that all vectors share.
        """
        if self._packed is not None:
            return self._packed.product(residual, self.half_squares)
        return torch.addmm(self.half_squares, residual, self.vectors.t())


def nearest_codes(residual: Tensor, codebook: Tensor | Codebook) -> Tensor:
    """Find the closest vector of a codebook; of equal distances the lowest index wins.

    Args:
        residual: ``[B, T, d]`` float32.
        codebook: ``[K, d]`` float32, or made ready for many searches.

    Returns:
        ``[B, T]`` int64 indices, those that the published Euclidean distances in float32 give,
        except where two differ by no more than rounding does.
    """
    ready = codebook if isinstance(codebook, Codebook) else Codebook(codebook)
    flat = residual.reshape(-1, residual.shape[-1])  # [N, d]
    if not may_sync(flat):
        return _published_nearest(flat, ready.vectors).view(residual.shape[:-1])
    found = []
    for some in torch.split(flat, _FRAMES_AT_ONCE):
        closeness = ready.closeness(some)
        index = _first_largest(closeness)
        best = closeness.gather(1, index[:, None])[:, 0]
        squares = some.square().sum(-1)
        exact = squares - 2 * best <= _SMALLEST_SQUARED_DISTANCE + _ROUNDING * squares
        if exact.any():  # down there the published clamp makes ties
            index[exact] = _published_nearest(some[exact], ready.vectors)
        found.append(index)
    return torch.cat(found).view(residual.shape[:-1])


def _first_largest(rows: Tensor) -> Tensor:
    """Index of the largest value of every row ``[N, K]``, the first of equal ones: ``[N]``.

    Torch's argmax looks at one value at a time, its maximum at a register of them: so the largest
    of every group first, then its place in the group.
    """
    if rows.shape[1] % _GROUP:
        return rows.argmax(dim=-1)
    groups = rows.view(len(rows), -1, _GROUP)  # [N, K / 64, 64]
    group = groups.amax(dim=-1).argmax(dim=-1)
    chosen = groups[torch.arange(len(rows), device=rows.device), group]  # [N, 64]
    return group * _GROUP + chosen.argmax(dim=-1)


def _published_nearest(residual: Tensor, vectors: Tensor) -> Tensor:
    """The published search, distances by squares and a product: ``[N, d]`` to ``[N]``."""
    squares = residual.square().sum(-1, keepdim=True) + vectors.square().sum(-1)  # [N, K]
    squares = torch.add(squares, residual @ vectors.T, alpha=-2)
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
            nn.init.normal_(nn.Parameter(torch.empty(config.size, config.dim)))
            for _ in range(config.levels)
        )
        self.project_out = nn.Linear(config.dim, dim)
        self._ready: list[Codebook] | None = None

    def pack(self) -> None:
        """Make the codebooks ready for many searches; they must not change any more."""
        self._ready = [Codebook(codebook) for codebook in self.codebooks]

    def _apply(self, fn: Any, recurse: bool = True) -> ResidualVQ:
        self._ready = None  # made of codebooks that go elsewhere
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch's own
        return self

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
        ready = self._ready or list(self.codebooks)
        for searched, codebook in zip(ready, self.codebooks, strict=True):
            index = nearest_codes(residual, searched)  # [B, T]
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

    def searched(self) -> tuple[ResidualVQ, ...]:
        """The quantizers in the order of the codebooks."""
        return self.reasoning, self.pronunciation, self.structure, self.acoustic

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
