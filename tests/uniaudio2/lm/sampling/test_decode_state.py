from __future__ import annotations

from dataclasses import fields, replace

import torch

from uniaudio2.lm.sampling.decode_state import DecodeState, Phases


def start() -> DecodeState:
    return DecodeState.start(
        [7, 8, 9], [2, 5, 1], [Phases(0, 2, limit, 9) for limit in (1, 2, 3)], torch.device("cpu")
    )


def test_start() -> None:
    state = start()
    assert state.seed.tolist() == [7, 8, 9]
    assert not state.finished.any() and not state.hit_limit.any() and state.steps.eq(0).all()


def test_count_finishes_requests_at_their_own_limit() -> None:
    state = start()
    state.count_step(torch.tensor([False, False, False]))
    assert state.finished.tolist() == [False, False, True]
    state.count_step(torch.tensor([False, True, False]))
    assert state.finished.tolist() == [True, True, True]
    assert state.hit_limit.tolist() == [True, False, True]
    assert state.steps.tolist() == [2, 2, 1], "a finished request counts no further"


def test_a_stop_at_the_limit_is_a_stop() -> None:
    state = start()
    state.count_step(torch.tensor([False, False, True]))
    assert state.finished.tolist() == [False, False, True]
    assert not state.hit_limit.any()


def test_select_takes_every_field() -> None:
    state = start()
    kept = state.select(torch.tensor([2, 0]))
    for field in fields(DecodeState):
        whole, part = getattr(state, field.name), getattr(kept, field.name)
        assert part.tolist() == [whole[2].item(), whole[0].item()]


def test_an_empty_slot_is_like_a_finished_request() -> None:
    slots = DecodeState.of_empty_slots(3, torch.device("cpu"))
    assert slots.finished.all() and not slots.hit_limit.any()
    slots.count_step(torch.tensor([False, True, False]))
    assert slots.steps.eq(0).all() and not slots.hit_limit.any()
    slots.update(slice(1, 3), start().select(torch.tensor([0, 1])))
    assert slots.seed.tolist() == [0, 7, 8]
    assert slots.finished.tolist() == [True, False, False]


def test_the_first_slots_are_views_and_copying_keeps_their_memory() -> None:
    state = start()
    some = state.first(2)
    later = replace(some)
    later.count_step(torch.tensor([True, False]))
    assert not state.finished.any(), "counting makes new fields"
    some.copy_from(later)
    assert state.finished.tolist() == [True, False, False]
    assert state.steps.tolist() == [1, 1, 0]


def test_update_writes_some_slots_back() -> None:
    state = start()
    at = torch.tensor([2, 0])
    some = state.select(at)
    some.count_step(torch.tensor([False, True]))
    state.update(at, some)
    assert state.finished.tolist() == [True, False, True]
    assert state.steps.tolist() == [1, 0, 1]
