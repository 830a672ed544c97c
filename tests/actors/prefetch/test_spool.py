"""What is kept is read again; what has no room is not kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from actors.prefetch.spool import Spool


def test_bytes_come_back_whoever_keeps_some_at_the_same_time() -> None:
    spool = Spool()
    data = [bytes([number]) * (number * 37 + 1) for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda some: spool.keep(7, some), data))
    assert [one.read() for one in kept if one] == data
    assert {one.start for one in kept if one} == {7}


def test_there_is_no_more_room_than_is_given() -> None:
    spool = Spool(10)
    first = spool.keep(0, b"12345678")
    assert first is not None
    assert spool.keep(0, b"123") is None
    assert spool.keep(0, b"12") is not None
    assert first.read() == b"12345678"
