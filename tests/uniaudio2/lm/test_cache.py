from __future__ import annotations

import torch

from uniaudio2.config import StackConfig
from uniaudio2.lm.cache import KvCache, LmCache, Place

STACK = StackConfig(layers=2, dim=8, heads=4, kv_groups=2, mlp_dim=4)
LIKE = torch.zeros(0)


def row(batch: int, value: float) -> torch.Tensor:
    return torch.arange(batch).view(-1, 1, 1, 1) + torch.full((batch, 2, 1, 2), value)


def test_allocate_takes_what_is_asked_for() -> None:
    cache = KvCache.allocate(STACK, 3, 5, LIKE.to(torch.bfloat16))
    assert cache.keys.shape == cache.values.shape == (2, 3, 2, 5, 2)
    assert cache.keys.dtype == torch.bfloat16
    assert cache.keys.eq(0).all() and cache.values.eq(0).all()


def test_rows_of_different_lengths_are_stored_at_their_own_positions() -> None:
    cache = KvCache.allocate(STACK, 3, 6, LIKE)
    positions = torch.tensor([0, 4, 2])
    keys, values = cache.append(1, row(3, 10.0), row(3, 20.0), Place.per_row(positions, 5))
    assert keys.shape == values.shape == (3, 2, 5, 2)
    for sequence, position in enumerate(positions.tolist()):
        assert keys[sequence, :, position].eq(10 + sequence).all()
        assert values[sequence, :, position].eq(20 + sequence).all()
        assert keys[sequence].count_nonzero() == 4
    assert cache.keys[0].eq(0).all(), "the other layer must stay as it was"


def test_a_shared_position_sees_all_rows_up_to_itself() -> None:
    cache = KvCache.allocate(STACK, 2, 8, LIKE)
    for position in range(3):
        keys, _ = cache.append(0, row(2, 1.0), row(2, 1.0), Place.shared(position))
    assert keys.shape[2] == 3
    assert Place.shared(2).mask is None
    assert cache.keys[0, :, :, 3:].eq(0).all()


def test_mask_hides_what_lies_beyond_a_row() -> None:
    mask = Place.per_row(torch.tensor([0, 3]), 4).mask
    assert mask.shape == (2, 1, 1, 4)
    assert mask[:, 0, 0].tolist() == [[True, False, False, False], [True] * 4]


def test_rows_of_a_table() -> None:
    table = torch.arange(10.0).view(5, 2)
    assert Place.per_row(torch.tensor([4, 1]), 5).rows_of(table).tolist() == [
        [[[8.0, 9.0]]],
        [[[2.0, 3.0]]],
    ]
    assert Place.shared(3).rows_of(table).tolist() == [6.0, 7.0]


def test_select_keeps_rows_in_order_in_every_stack() -> None:
    stacks = [KvCache.allocate(STACK, 3, 4, LIKE) for _ in range(3)]
    for number, stack in enumerate(stacks):
        stack.fill(0, row(3, 10.0 * number), row(3, 100.0 * number))
    kept = LmCache(*stacks).select(torch.tensor([2, 0]))
    for number, stack in enumerate(
        (kept.backbone, kept.understanding_expert, kept.generation_expert)
    ):
        assert stack.keys[0, :, 0, 0, 0].tolist() == [10.0 * number + 2, 10.0 * number]
        assert stack.values[0, :, 0, 0, 0].tolist() == [100.0 * number + 2, 100.0 * number]
