from __future__ import annotations

import math

import torch

from uniaudio2.config import StackConfig
from uniaudio2.lm.kv_cache import AttentionMetadata, KvCache, LmCache

STACK = StackConfig(layers=2, dim=8, heads=4, kv_groups=2, mlp_dim=4)
LIKE = torch.zeros(0)


def states(batch: int, value: float) -> torch.Tensor:
    return torch.arange(batch).view(-1, 1, 1, 1) + torch.full((batch, 2, 1, 2), value)


def test_allocate_takes_what_is_asked_for() -> None:
    cache = KvCache.allocate(STACK, 3, 5, LIKE.to(torch.bfloat16))
    assert cache.keys.shape == cache.values.shape == (2, 3, 2, 5, 2)
    assert cache.keys.dtype == torch.bfloat16
    assert cache.keys.eq(0).all() and cache.values.eq(0).all()


def test_sequences_of_different_lengths_are_stored_at_their_own_positions() -> None:
    cache = KvCache.allocate(STACK, 3, 6, LIKE)
    positions = torch.tensor([0, 4, 2])
    keys, values = cache.append(
        1, states(3, 10.0), states(3, 20.0), AttentionMetadata.per_sequence(positions, 5)
    )
    assert keys.shape == values.shape == (3, 2, 5, 2)
    for sequence, position in enumerate(positions.tolist()):
        assert keys[sequence, :, position].eq(10 + sequence).all()
        assert values[sequence, :, position].eq(20 + sequence).all()
        assert keys[sequence].count_nonzero() == 4
    assert cache.keys[0].eq(0).all(), "the other layer must stay as it was"


def test_a_shared_position_attends_to_all_up_to_itself() -> None:
    cache = KvCache.allocate(STACK, 2, 8, LIKE)
    for position in range(3):
        keys, _ = cache.append(
            0, states(2, 1.0), states(2, 1.0), AttentionMetadata.shared(position)
        )
    assert keys.shape[2] == 3
    assert AttentionMetadata.shared(2).mask is None
    assert cache.keys[0, :, :, 3:].eq(0).all()


def test_mask_hides_what_lies_beyond_a_sequence() -> None:
    mask = AttentionMetadata.per_sequence(torch.tensor([0, 3]), 4).mask
    assert mask is not None and mask.shape == (2, 1, 1, 4)
    assert mask[:, 0, 0].tolist() == [[0, -math.inf, -math.inf, -math.inf], [0] * 4]
    half = AttentionMetadata.per_sequence(torch.tensor([0, 3]), 4, torch.bfloat16).mask
    assert half is not None and half.dtype == torch.bfloat16


def test_positions_are_looked_up_in_a_table() -> None:
    table = torch.arange(10.0).view(5, 2)
    assert AttentionMetadata.per_sequence(torch.tensor([4, 1]), 5).look_up(table).tolist() == [
        [[[8.0, 9.0]]],
        [[[2.0, 3.0]]],
    ]
    assert AttentionMetadata.shared(3).look_up(table).tolist() == [6.0, 7.0]


def three_stacks(batch: int, length: int = 4) -> LmCache:
    stacks = [KvCache.allocate(STACK, batch, length, LIKE) for _ in range(3)]
    for number, stack in enumerate(stacks):
        stack.write_chunk(0, states(batch, 10.0 * number), states(batch, 100.0 * number))
    return LmCache(*stacks)


def first_positions(cache: LmCache) -> list[list[float]]:
    stacks = (cache.backbone, cache.understanding_expert, cache.generation_expert)
    keys = [stack.keys[0, :, 0, 0, 0].tolist() for stack in stacks]
    values = [stack.values[0, :, 0, 0, 0].tolist() for stack in stacks]
    return keys + values


def test_a_chunk_goes_on_where_it_is_told_and_gives_all_so_far() -> None:
    cache = KvCache.allocate(STACK, 2, 6, LIKE)
    cache.write_chunk(1, states(2, 1.0).expand(-1, -1, 2, -1), states(2, 1.0).expand(-1, -1, 2, -1))
    keys, values = cache.write_chunk(1, states(2, 5.0), states(2, 7.0), start=2)
    assert keys.shape == values.shape == (2, 2, 3, 2)
    assert keys[0, 0, :, 0].tolist() == [1.0, 1.0, 5.0]
    assert values[1, 0, :, 0].tolist() == [2.0, 2.0, 8.0]


def test_moving_copies_sequences_in_every_stack() -> None:
    cache = three_stacks(3)
    cache.copy_sequences(torch.tensor([2]), torch.tensor([0]))
    keys = [[2.0, 1.0, 2.0], [12.0, 11.0, 12.0], [22.0, 21.0, 22.0]]
    assert first_positions(cache)[:3] == keys


def test_another_size_keeps_the_first_positions_and_adds_zeros() -> None:
    cache = three_stacks(2)
    larger = cache.resized(5, 9)
    assert (larger.sequences, larger.length) == (5, 9)
    assert first_positions(larger.first(cache.sequences)) == first_positions(cache)
    assert larger.backbone.keys[:, :, :, 4:].eq(0).all()
    assert larger.backbone.values[:, cache.sequences :].eq(0).all()
    assert larger.position_bytes == cache.position_bytes
    again = larger.resized(1, 12)
    assert (again.sequences, again.length) == (1, 12)
    assert first_positions(again) == first_positions(cache.first(1))


def test_write_sequences_repeated_and_first() -> None:
    cache, short = three_stacks(6, length=5), three_stacks(2, length=3)
    cache.write_sequences(1, short.repeated(2))
    assert first_positions(cache)[0] == [0.0, 0.0, 1.0, 0.0, 1.0, 5.0]
    assert first_positions(cache.first(2))[0] == [0.0, 0.0]
    cache.first(2).copy_sequences(torch.tensor([1]), torch.tensor([0]))
    assert cache.backbone.keys[0, 0].equal(cache.backbone.keys[0, 1]), "a view, not a copy"
