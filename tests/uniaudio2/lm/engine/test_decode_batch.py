"""Memory of the slots: enough, within bounds, and nothing lost when requests and caches move."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uniaudio2.lm.small import CONFIG, small_lm, text_prompt
from uniaudio2.lm.engine.decode_batch import DecodeBatch
from uniaudio2.lm.engine.decode_buffers import sequences_of
from uniaudio2.lm.engine.prefill import ChunkedPrefill
from uniaudio2.lm.engine.prefix_cache import PrefixCache
from uniaudio2.lm.engine.scheduler import Scheduler
from uniaudio2.lm.sampling.decode_state import DecodeState, Phases

LONG = CONFIG.model_copy(update={"context": 500})
LM = small_lm(config=LONG)


def come(batch: DecodeBatch, lengths: list[int], limit: int) -> None:
    """Add requests; the seed of each is its prompt's length."""
    prompts = [
        text_prompt(length, seed=length)
        for length in lengths
        for _ in range(batch.sequences_per_request)
    ]
    prefill = ChunkedPrefill(LM, prompts, PrefixCache(LM, batch.sequences_per_request))
    prefill.run_chunk(10_000)
    count = len(lengths)
    state = DecodeState.start(lengths, [limit] * count, [Phases(0, 2, 9, 9)] * count, LM.device)
    batch.add(state, [limit] * count, prefill)


def leave(batch: DecodeBatch, slots: set[int]) -> None:
    seeds = batch.state.seed.tolist()
    kept = batch.remove(slots)
    assert batch.state.seed.tolist() == [seeds[slot] for slot in kept]


@settings(deadline=None, max_examples=40)
@given(data=st.data(), per_request=st.integers(1, 2), in_place=st.booleans())
@torch.no_grad()
def test_caches_hold_what_requests_need_and_never_more_than_the_bound(
    data: st.DataObject, per_request: int, in_place: bool
) -> None:
    kv_positions, slots = data.draw(st.sampled_from([None, 300, 1000])), 8
    scheduler = Scheduler(slots, per_request, 4096, kv_positions)
    batch = DecodeBatch(LM, slots, per_request, 40, kv_positions, in_place)
    there: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        coming = data.draw(st.lists(st.integers(2, 400), min_size=1, max_size=4))
        limit = data.draw(st.integers(1, 40))
        while coming and not scheduler.fits([*there, *(n + 40 for n in coming)]):
            coming.pop()
        if coming:
            come(batch, coming, limit)
            there += [length + 40 for length in coming]
        for _ in range(data.draw(st.integers(0, 12))):
            if there:
                shape = batch.step_shape("audio")
                cache, longest = batch.cache, max(batch._kv_lengths)
                assert len(there) <= shape.slots <= cache.sequences // per_request
                assert longest <= shape.kv_length <= cache.length
                if kv_positions and len(there) > 1:
                    assert cache.sequences * cache.length <= kv_positions
                batch.count_step()
        gone = data.draw(st.sets(st.integers(0, max(len(there) - 1, 0)), max_size=3))
        gone &= set(range(len(there)))
        seeds = batch.state.seed.tolist()
        kept = batch.remove(gone)
        assert batch.state.seed.tolist() == [seeds[slot] for slot in kept]
        there = [there[slot] for slot in kept]


def test_a_long_request_that_comes_late_narrows_a_wide_cache() -> None:
    """Eight short requests made it wide, a long one makes it long: both at once are too much."""
    batch = DecodeBatch(LM, 8, 1, 20, kv_positions=400)
    come(batch, [10] * 8, 20)
    assert batch.cache.sequences == 8
    leave(batch, {0, 1, 2, 3, 4, 5, 6})
    come(batch, [170], 20)
    assert batch.cache.sequences * batch.cache.length <= 400
    assert batch.cache.length >= 170


@pytest.mark.parametrize("in_place", [False, True])
def test_what_requests_stored_survives_moving_and_resizing(in_place: bool) -> None:
    batch = DecodeBatch(LM, 6, 2, 20, in_place=in_place)
    come(batch, [5, 9, 7], 20)
    want = {seed: batch.cache.backbone.keys[:, 2 * n : 2 * n + 2, :, :4].clone()
            for n, seed in enumerate([5, 9, 7])}  # fmt: skip
    leave(batch, {0})
    come(batch, [300], 20)
    for slot, seed in enumerate(batch.state.seed.tolist()):
        if seed in want:
            keys = batch.cache.backbone.keys[:, 2 * slot : 2 * slot + 2, :, :4]
            assert torch.equal(keys, want[seed])
    assert batch.state.seed.tolist() == [7, 9, 300]


def test_empty_slots_are_finished_and_at_the_beginning() -> None:
    batch = DecodeBatch(LM, 4, 2, 20)
    come(batch, [5, 9, 7], 20)
    assert batch.buffers.state.finished.tolist() == [False, False, False, True]
    assert batch.buffers.positions.tolist() == [4, 4, 8, 8, 6, 6, 0, 0]
    leave(batch, {1})
    assert batch.buffers.state.finished.tolist() == [False, False, True, True]
    assert batch.buffers.positions.tolist() == [4, 4, 6, 6, 0, 0, 0, 0]


def test_in_place_steps_have_few_shapes_and_caches_room_for_whole_answers() -> None:
    batch = DecodeBatch(LM, 6, 1, 40, in_place=True)
    come(batch, [5, 9, 7], 40)
    seen = set()
    for _ in range(39):
        seen.add(batch.step_shape("text"))
        batch.count_step()
    assert {(shape.slots, shape.kv_length) for shape in seen} == {(4, 64)}
    assert batch.cache_version == 1
    come(batch, [30, 31, 32], 40)
    assert batch.step_shape("text").slots == 6 and batch.cache_version == 2


def test_sequences_of_slots() -> None:
    assert sequences_of(torch.tensor([3, 0]), 2).tolist() == [6, 7, 0, 1]
