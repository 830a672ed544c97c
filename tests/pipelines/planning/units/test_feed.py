"""A feed of units ends when nothing is left and nothing more can follow from what was taken."""

from __future__ import annotations

import threading

from actors.batch.unit import UnitSpec
from pipelines.planning.units.feed import UnitFeed


def units(*numbers: int) -> list[UnitSpec]:
    return [UnitSpec(n, "", 0, 1, "", "") for n in numbers]


def test_what_is_added_comes_next_in_its_order() -> None:
    feed = UnitFeed(units(0, 1))
    found = []
    for unit in feed:
        found.append(unit.unit)
        if unit.unit == 0:
            feed.add(units(7, 8))
    assert found == [0, 7, 8, 1]
    assert len(feed) == 4
    assert feed.is_over


def test_who_asks_waits_while_a_unit_may_still_follow() -> None:
    feed = UnitFeed(units(0))
    assert feed.take() is not None
    taken: list[UnitSpec | None] = []
    waiting = threading.Thread(target=lambda: taken.append(feed.take()))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    assert not feed.is_over
    feed.add(units(1))
    feed.looked_at()
    waiting.join(5)
    assert [unit and unit.unit for unit in taken] == [1]


def test_at_its_end_nobody_waits() -> None:
    feed = UnitFeed(units(0))
    assert feed.take_now(5) == units(0)
    ended: list[UnitSpec | None] = []
    waiting = threading.Thread(target=lambda: ended.append(feed.take()))
    waiting.start()
    feed.looked_at()
    waiting.join(5)
    assert ended == [None]
    closed = UnitFeed(units(0))
    closed.close()
    assert closed.take() is None
