"""Implements the Llama stack that serves as backbone, as both experts and as local decoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniaudio2.config import RopeConfig, StackConfig
from uniaudio2.lm.kv_cache import AttentionMetadata, KvCache
from uniaudio2.lm.rope import Rope, rotate

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Mixes values: queries ``[B, heads, T, head]``, keys and values ``[B, groups, T, head]``."""

Look = Callable[[int, Tensor, Tensor], None]
"""Is shown a layer's number, its queries ``[B, heads, T, head]`` and keys ``[B, groups, T, head]``,
rotated."""


class RmsNorm(nn.Module):
    """Root-mean-square norm, computed in float32 and returned in the input's dtype."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.float()
        return F.rms_norm(x.float(), weight.shape, weight, self.eps).to(x.dtype)


def _attend_whole(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    layer: int,
    cache: KvCache | None,
    start: int,
    mask: Tensor | None,
    look: Look | None,
) -> Tensor:
    """Attend from each of T positions to itself and those before it; query head h reads group
    h // share."""
    if look is not None:
        look(layer, queries, keys)
    if cache is not None:
        keys, values = cache.write_chunk(layer, keys, values, start)
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


def _attend_next(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    layer: int,
    cache: KvCache,
    metadata: AttentionMetadata,
) -> Tensor:
    """Attend from one new position per sequence to what is stored. The heads of a group become
    rows of one query, so that grouped keys are read in place and never repeated."""
    keys, values = cache.append(layer, keys, values, metadata)
    batch, groups, _, width = keys.shape
    grouped = queries.reshape(batch, groups, -1, width)  # [B, groups, share, head]
    mixed = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=metadata.mask)
    return mixed.reshape(queries.shape)


class Block(nn.Module):
    """Pre-norm attention, then pre-norm gated SiLU; no bias anywhere."""

    def __init__(self, config: StackConfig, norm_eps: float) -> None:
        super().__init__()
        self.heads, self.groups, self.width = config.heads, config.kv_groups, config.head_dim
        self.attention_norm = RmsNorm(config.dim, norm_eps)
        self.qkv = nn.Linear(
            config.dim, (config.heads + 2 * config.kv_groups) * self.width, bias=False
        )
        self.out = nn.Linear(config.heads * self.width, config.dim, bias=False)
        self.mlp_norm = RmsNorm(config.dim, norm_eps)
        self.gate = nn.Linear(config.dim, config.mlp_dim, bias=False)
        self.up = nn.Linear(config.dim, config.mlp_dim, bias=False)
        self.down = nn.Linear(config.mlp_dim, config.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """Run T positions.

        Args:
            x: ``[B, T, D]``.
            cos: of `Rope.tables`, broadcastable to ``[B, heads, T, head]``.
            sin: the same.
            attend: mixes values.

        Returns:
            ``[B, T, D]``.
        """
        turned, count = self.heads + self.groups, self.heads + 2 * self.groups
        qkv = self.qkv(self.attention_norm(x)).view(*x.shape[:2], count, self.width)
        qkv = qkv.transpose(1, 2)  # [B, heads + 2 groups, T, head]
        positioned = rotate(qkv[:, :turned], cos, sin)
        mixed = attend(positioned[:, : self.heads], positioned[:, self.heads :], qkv[:, turned:])
        x = x + self.out(mixed.transpose(1, 2).flatten(2))  # [B, T, D]
        normed = self.mlp_norm(x)
        gate = self.gate(normed)  # [B, T, mlp]
        learns = gate.requires_grad
        gate = F.silu(gate, inplace=not learns)
        up = self.up(normed)
        added: Tensor = self.down(gate * up if learns else gate.mul_(up))
        return x + added


class Transformer(nn.Module):
    """Blocks and a final norm over vectors (the embeddings live outside).

    Args:
        config: sizes of the stack.
        norm_eps: epsilon of every norm.
        rope: rotary embedding.
        context: positions that the stack can meet.
    """

    def __init__(
        self, config: StackConfig, norm_eps: float, rope: RopeConfig, context: int
    ) -> None:
        super().__init__()
        self.config = config
        self.rope = Rope(rope, config.head_dim, context)
        self.blocks = nn.ModuleList(Block(config, norm_eps) for _ in range(config.layers))
        self.norm = RmsNorm(config.dim, norm_eps)

    def forward(
        self,
        x: Tensor,
        cache: KvCache | None = None,
        start: int = 0,
        look: Look | None = None,
    ) -> Tensor:
        """Run T positions of every sequence, each attending to those before it.

        Args:
            x: ``[B, T, D]``; padding at the right end disturbs nothing before it.
            cache: filled with these positions when given; holds those before `start`.
            start: the first position; 0 without a cache.
            look: is shown what every layer attends with, where it is asked for.

        Returns:
            ``[B, T, D]`` after the final norm.

        Raises:
            ValueError: more positions than the context.
        """
        stop = start + x.shape[1]
        if stop > self.rope.context:
            raise ValueError(
                f"{stop} positions exceed the context of {self.rope.context}; shorten the prompt"
            )
        cos, sin = (table[start:stop] for table in self.rope.tables(x.device))  # [T, head]
        mask = None
        if start:
            mask = x.new_ones((x.shape[1], stop), dtype=torch.bool).tril(start)  # [T, stop]
        attend = partial(_attend_whole, cache=cache, start=start, mask=mask, look=look)
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, partial(attend, layer=layer))
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, cache: KvCache, metadata: AttentionMetadata) -> Tensor:
        """Run one new position per sequence and store it.

        Args:
            x: ``[B, D]``.
            cache: the positions before it; the new one is added.
            metadata: where it is stored and what it attends to.

        Returns:
            ``[B, D]`` after the final norm.
        """
        cos, sin = (metadata.look_up(table) for table in self.rope.tables(x.device))
        x = x[:, None]  # [B, 1, D]
        for layer, block in enumerate(self.blocks):
            attend = partial(_attend_next, layer=layer, cache=cache, metadata=metadata)
            x = block(x, cos, sin, attend)
        normed: Tensor = self.norm(x)
        return normed[:, 0]
