from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from uniaudio2.config import RopeConfig, StackConfig
from uniaudio2.lm.kv_cache import AttentionMetadata, KvCache
from uniaudio2.lm.rope import rotate
from uniaudio2.lm.transformer import Block, RmsNorm, Transformer

SIZES = StackConfig(layers=2, dim=24, heads=6, kv_groups=2, mlp_dim=20)


def stack(sizes: StackConfig = SIZES, context: int = 16) -> Transformer:
    made = Transformer(sizes, 1e-5, RopeConfig(), context)
    generator = torch.Generator().manual_seed(1)
    for tensor in made.state_dict().values():
        drawn = torch.randn(tensor.shape, generator=generator)
        tensor.copy_(1 + 0.1 * drawn if tensor.ndim == 1 else 0.3 * drawn)
    return made.requires_grad_(False)


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def slow_block(block: Block, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """One block of one sequence ``[T, D]``, head by head, from the formulas."""
    width, heads, groups = block.width, block.heads, block.groups

    def norm(values: Tensor, weight: Tensor) -> Tensor:
        return values * torch.rsqrt(values.square().mean(-1, keepdim=True) + 1e-5) * weight

    projected = norm(x, block.attention_norm.weight) @ block.qkv.weight.T
    parts = projected.split(width, dim=1)  # q.., k.., v..
    mixed = []
    for head in range(heads):
        group = head // (heads // groups)
        query = rotate(parts[head], cos, sin)
        key = rotate(parts[heads + group], cos, sin)
        scores = query @ key.T / math.sqrt(width)
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        mixed.append(scores.softmax(-1) @ parts[heads + groups + group])
    x = x + torch.cat(mixed, dim=1) @ block.out.weight.T
    normed = norm(x, block.mlp_norm.weight)
    gate = normed @ block.gate.weight.T
    return x + (gate * gate.sigmoid() * (normed @ block.up.weight.T)) @ block.down.weight.T


def test_forward_follows_the_formulas() -> None:
    made, x = stack(), inputs(1, 7, 24)
    cos, sin = (table[:7] for table in made.rope.tables(x.device))
    want = x[0]
    for block in made.blocks:
        want = slow_block(block, want, cos, sin)
    torch.testing.assert_close(made(x)[0], made.norm(want), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_steps_equal_the_whole_sequence(groups: int) -> None:
    made, x = stack(SIZES.model_copy(update={"kv_groups": groups})), inputs(2, 9, 24)
    cache = KvCache.allocate(made.config, 2, 9, x)
    stepped = [made.step(x[:, at], cache, AttentionMetadata.shared(at)) for at in range(9)]
    torch.testing.assert_close(torch.stack(stepped, dim=1), made(x), atol=1e-5, rtol=1e-5)


def test_rows_of_different_lengths_step_as_if_alone() -> None:
    made, x = stack(), inputs(3, 10, 24)
    lengths = torch.tensor([2, 9, 5])
    cache = KvCache.allocate(SIZES, 3, 10, x)
    made(x[:, :9], cache)  # rows beyond a length are padding to that sequence
    new = x[torch.arange(3), lengths]
    got = made.step(new, cache, AttentionMetadata.per_sequence(lengths, 10))
    for row, length in enumerate(lengths.tolist()):
        want = made(x[row : row + 1, : length + 1])[0, -1]
        torch.testing.assert_close(got[row], want, atol=1e-5, rtol=1e-5)


def test_what_comes_later_changes_nothing() -> None:
    made, x = stack(), inputs(1, 6, 24)
    changed = x.clone()
    changed[:, 4:] = 100.0
    torch.testing.assert_close(made(changed)[:, :4], made(x)[:, :4])


def test_zero_rows_stay_zero() -> None:
    cache = KvCache.allocate(SIZES, 1, 4, inputs(1))
    assert stack()(torch.zeros(1, 4, 24), cache).eq(0).all()
    assert cache.keys.eq(0).all() and cache.values.eq(0).all()


def test_more_positions_than_the_context() -> None:
    with pytest.raises(ValueError, match="17 positions exceed the context of 16"):
        stack()(inputs(1, 17, 24))


def test_norm_is_computed_in_float32() -> None:
    norm = RmsNorm(4096, 1e-5)
    x = torch.full((1, 4096), 300.0, dtype=torch.float16)  # its square overflows float16
    got = norm(x)
    assert got.dtype == torch.float16
    torch.testing.assert_close(got.float(), torch.ones(1, 4096), atol=1e-3, rtol=0)
