from __future__ import annotations

import pytest
import torch

from tests.uniaudio2.codec.small import CONFIG, random_features, small_encoder
from uniaudio2.codec.reasoning import ReasoningBlock, ReasoningBranch
from uniaudio2.codec.rotary import rotary_table, rotate


@pytest.fixture
def thinking() -> ReasoningBranch:
    return small_encoder().thinking


@torch.no_grad()
def test_a_query_follows_every_interval(thinking: ReasoningBranch) -> None:
    frames = torch.arange(2 * 10 * CONFIG.dim, dtype=torch.float32).view(2, 10, CONFIG.dim)
    sequence = thinking.insert_queries(frames)
    assert sequence.shape == (2, 12, CONFIG.dim)
    for position in (5, 11):
        assert torch.equal(sequence[:, position], thinking.query_token.expand(2, -1))
    kept = [*range(5), *range(6, 11)]
    assert torch.equal(sequence[:, kept], frames)


@torch.no_grad()
def test_reading_finds_the_inserted_positions(thinking: ReasoningBranch) -> None:
    sequence = thinking.insert_queries(torch.zeros(2, 15, CONFIG.dim))
    assert torch.equal(
        thinking.read_queries(sequence), thinking.query_token.expand(2, 3, -1).contiguous()
    )


@torch.no_grad()
def test_five_frames_become_one_vector(thinking: ReasoningBranch) -> None:
    features = random_features(20)
    assert thinking(features.whisper, features.semantic).shape == (2, 4, CONFIG.dim)


@pytest.mark.parametrize(("head_dim", "rotated"), [(32, 32), (64, 32), (128, 64)])
@torch.no_grad()
def test_block_equals_the_formula(head_dim: int, rotated: int) -> None:
    dim, length = 2 * head_dim, 7
    with torch.random.fork_rng():
        torch.manual_seed(3)
        block = ReasoningBlock(dim, head_dim)
        block.attention_scale.uniform_(0.5, 2.0)
        block.mlp_scale.uniform_(0.5, 2.0)
        block.q_norm.bias.uniform_()
        states = torch.randn(1, length, dim)
    parts = (states @ block.qkv.weight.T).split(dim, dim=-1)
    table = rotary_table(length, rotated, states.device)
    heads = []
    for start in (0, head_dim):
        query, key, value = (part[0, :, start : start + head_dim] for part in parts)
        query, key = rotate(block.q_norm(query), table), rotate(block.k_norm(key), table)
        heads.append((query @ key.T / head_dim**0.5).softmax(dim=-1) @ value)
    after = states + block.attention_scale * (torch.cat(heads, dim=-1) @ block.out.weight.T)
    wide = block.mlp_in(after)
    gated = wide[..., : 4 * dim] * torch.sigmoid(wide[..., 4 * dim :])
    want = after + block.mlp_scale * block.mlp_out(gated)
    torch.testing.assert_close(block(states), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("dim", "head_dim"), [(64, 16), (80, 32)])
def test_heads_that_cannot_be(dim: int, head_dim: int) -> None:
    with pytest.raises(ValueError, match=rf"query_head_dim {head_dim} .* dim {dim}; change"):
        ReasoningBlock(dim, head_dim)
