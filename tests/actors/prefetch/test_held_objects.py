"""What is held of an object is read from memory, the rest where it is."""

from __future__ import annotations

import io
import threading

import pytest

from actors.prefetch.held_objects import HeldObject, held_object, holding

DATA = bytes(range(200))


def held(*pieces: tuple[int, int]) -> tuple[HeldObject, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return DATA[start:stop]

    found = [(start, DATA[start:stop]) for start, stop in pieces]
    return HeldObject("s3://b/o", len(DATA), found, fetch), asked


def test_what_is_here_is_not_asked_for() -> None:
    some, asked = held((0, 50), (150, 200))
    assert some.read(10, 50) == DATA[10:50]
    assert some.read(190, 999) == DATA[190:]
    assert some.read(300, 400) == b""
    assert asked == []
    assert some.read(40, 60) == DATA[40:60]
    assert asked == [(40, 60)]


def test_it_is_read_as_a_file() -> None:
    some, asked = held((0, 50))
    file = some.open()
    assert file.seek(0, io.SEEK_END) == 200
    file.seek(45)
    assert file.read(10) == DATA[45:55]
    assert asked == [(45, 55)]
    whole, asked = held((0, 200))
    assert whole.open().read() == DATA
    assert asked == []


def test_a_fault_of_storage_is_no_end_of_the_file() -> None:
    def fetch(start: int, stop: int) -> bytes:
        raise OSError("storage is away")

    with pytest.raises(OSError, match="storage is away"):
        HeldObject("s3://b/o", 10, [], fetch).open().read(4)


def test_it_is_held_by_its_address_in_one_thread() -> None:
    some, _ = held((0, 200))
    elsewhere: list[object] = []
    with holding(some):
        assert held_object("s3://b/o") is some
        assert held_object("s3://b/other") is None
        other = threading.Thread(target=lambda: elsewhere.append(held_object("s3://b/o")))
        other.start()
        other.join()
    assert elsewhere == [None]
    assert held_object("s3://b/o") is None
