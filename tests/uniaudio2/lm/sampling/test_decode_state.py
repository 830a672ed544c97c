from __future__ import annotations

from dataclasses import fields, replace

import torch

from uniaudio2.lm.sampling.decode_state import Phases, Rows


def start() -> Rows:
    return Rows.start(
        [7, 8, 9], [2, 5, 1], [Phases(0, 2, limit, 9) for limit in (1, 2, 3)], torch.device("cpu")
    )


def test_start() -> None:
    rows = start()
    assert rows.seed.tolist() == [7, 8, 9]
    assert not rows.done.any() and not rows.limited.any() and rows.frames.eq(0).all()


def test_count_finishes_rows_at_their_own_limit() -> None:
    rows = start()
    rows.count(torch.tensor([False, False, False]))
    assert rows.done.tolist() == [False, False, True]
    rows.count(torch.tensor([False, True, False]))
    assert rows.done.tolist() == [True, True, True]
    assert rows.limited.tolist() == [True, False, True]
    assert rows.frames.tolist() == [2, 2, 1], "a finished row counts no further"


def test_a_stop_at_the_limit_is_a_stop() -> None:
    rows = start()
    rows.count(torch.tensor([False, False, True]))
    assert rows.done.tolist() == [False, False, True]
    assert not rows.limited.any()


def test_select_takes_every_field() -> None:
    rows = start()
    kept = rows.select(torch.tensor([2, 0]))
    for field in fields(Rows):
        whole, part = getattr(rows, field.name), getattr(kept, field.name)
        assert part.tolist() == [whole[2].item(), whole[0].item()]


def test_a_vacant_place_is_like_a_row_that_is_done() -> None:
    places = Rows.vacant(3, torch.device("cpu"))
    assert places.done.all() and not places.limited.any()
    places.count(torch.tensor([False, True, False]))
    assert places.frames.eq(0).all() and not places.limited.any()
    places.update(slice(1, 3), start().select(torch.tensor([0, 1])))
    assert places.seed.tolist() == [0, 7, 8]
    assert places.done.tolist() == [True, False, False]


def test_the_first_rows_are_views_and_overwriting_keeps_their_memory() -> None:
    rows = start()
    some = rows.first(2)
    later = replace(some)
    later.count(torch.tensor([True, False]))
    assert not rows.done.any(), "counting makes new fields"
    some.overwrite(later)
    assert rows.done.tolist() == [True, False, False]
    assert rows.frames.tolist() == [1, 1, 0]


def test_update_writes_some_rows_back() -> None:
    rows = start()
    at = torch.tensor([2, 0])
    some = rows.select(at)
    some.count(torch.tensor([False, True]))
    rows.update(at, some)
    assert rows.done.tolist() == [True, False, True]
    assert rows.frames.tolist() == [1, 0, 1]
