"""Memory of the slots: enough, within bounds, and nothing lost when rows and caches move."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uniaudio2.lm.small import CONFIG, small_lm, text_prompt
from uniaudio2.lm.engine.admission import Admission
from uniaudio2.lm.engine.decode_batch import Seats, lanes_of
from uniaudio2.lm.engine.prefill import Joining, PrefixShelf
from uniaudio2.lm.sampling.decode_state import Phases, Rows

LONG = CONFIG.model_copy(update={"context": 500})
LM = small_lm(config=LONG)


def come(seats: Seats, lengths: list[int], limit: int) -> None:
    """Seat rows; the first token id of each is its prompt's length."""
    prompts = [text_prompt(length, seed=length) for length in lengths for _ in range(seats.halves)]
    joining = Joining(LM, prompts, PrefixShelf(LM, seats.halves))
    joining.advance(10_000)
    count = len(lengths)
    rows = Rows.start(lengths, [limit] * count, [Phases(0, 2, 9, 9)] * count, LM.device)
    seats.add(rows, [limit] * count, joining)


def leave(seats: Seats, slots: set[int]) -> None:
    seeds = seats.rows.seed.tolist()
    kept = seats.close_gaps(slots)
    assert seats.rows.seed.tolist() == [seeds[slot] for slot in kept]


@settings(deadline=None, max_examples=40)
@given(data=st.data(), halves=st.integers(1, 2), in_place=st.booleans())
@torch.no_grad()
def test_caches_hold_what_rows_need_and_never_more_than_the_bound(
    data: st.DataObject, halves: int, in_place: bool
) -> None:
    kv_rows, slots = data.draw(st.sampled_from([None, 300, 1000])), 8
    admission = Admission(slots, halves, kv_rows)
    seats = Seats(LM, slots, halves, 40, kv_rows, in_place)
    there: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        coming = data.draw(st.lists(st.integers(2, 400), min_size=1, max_size=4))
        limit = data.draw(st.integers(1, 40))
        while coming and not admission.admits([*there, *(n + 40 for n in coming)]):
            coming.pop()
        if coming:
            come(seats, coming, limit)
            there += [length + 40 for length in coming]
        for _ in range(data.draw(st.integers(0, 12))):
            if there:
                shape = seats.shape("audio")
                cache, ahead = seats.cache, max(seats._ahead)
                assert len(there) <= shape.rows <= cache.sequences // halves
                assert ahead <= shape.visible <= cache.length
                if kv_rows and len(there) > 1:
                    assert cache.sequences * cache.length <= kv_rows
                seats.count_frame()
        gone = data.draw(st.sets(st.integers(0, max(len(there) - 1, 0)), max_size=3))
        gone &= set(range(len(there)))
        seeds = seats.rows.seed.tolist()
        kept = seats.close_gaps(gone)
        assert seats.rows.seed.tolist() == [seeds[slot] for slot in kept]
        there = [there[slot] for slot in kept]


def test_a_long_row_that_comes_late_narrows_a_wide_cache() -> None:
    """Eight short rows made it wide, one long row makes it long: both at once would be too much."""
    seats = Seats(LM, 8, 1, 20, kv_rows=400)
    come(seats, [10] * 8, 20)
    assert seats.cache.sequences == 8
    leave(seats, {0, 1, 2, 3, 4, 5, 6})
    come(seats, [170], 20)
    assert seats.cache.sequences * seats.cache.length <= 400
    assert seats.cache.length >= 170


@pytest.mark.parametrize("in_place", [False, True])
def test_what_rows_stored_survives_moving_and_resizing(in_place: bool) -> None:
    seats = Seats(LM, 6, 2, 20, in_place=in_place)
    come(seats, [5, 9, 7], 20)
    want = {seed: seats.cache.backbone.keys[:, 2 * n : 2 * n + 2, :, :4].clone()
            for n, seed in enumerate([5, 9, 7])}  # fmt: skip
    leave(seats, {0})
    come(seats, [300], 20)
    for slot, seed in enumerate(seats.rows.seed.tolist()):
        if seed in want:
            lanes = seats.cache.backbone.keys[:, 2 * slot : 2 * slot + 2, :, :4]
            assert torch.equal(lanes, want[seed])
    assert seats.rows.seed.tolist() == [7, 9, 300]


def test_vacant_places_are_done_and_at_the_beginning() -> None:
    seats = Seats(LM, 4, 2, 20)
    come(seats, [5, 9, 7], 20)
    assert seats.seated.rows.done.tolist() == [False, False, False, True]
    assert seats.seated.positions.tolist() == [4, 4, 8, 8, 6, 6, 0, 0]
    leave(seats, {1})
    assert seats.seated.rows.done.tolist() == [False, False, True, True]
    assert seats.seated.positions.tolist() == [4, 4, 6, 6, 0, 0, 0, 0]


def test_in_place_frames_have_few_shapes_and_caches_room_for_whole_answers() -> None:
    seats = Seats(LM, 6, 1, 40, in_place=True)
    come(seats, [5, 9, 7], 40)
    seen = set()
    for _ in range(39):
        seen.add(seats.shape("text"))
        seats.count_frame()
    assert {(shape.rows, shape.visible) for shape in seen} == {(4, 64)}
    assert seats.moves == 1
    come(seats, [30, 31, 32], 40)
    assert seats.shape("text").rows == 6 and seats.moves == 2


def test_lanes() -> None:
    assert lanes_of(torch.tensor([3, 0]), 2).tolist() == [6, 7, 0, 1]
