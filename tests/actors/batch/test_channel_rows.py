"""Ids of channels, and the rows that they are of."""

from __future__ import annotations

import pytest

from actors.batch.channel_rows import asked_of, channel_id, channels_asked, whole_id


@pytest.mark.parametrize("row_id", ["a", "a/b", "a/ch0", "a/ch", "/ch7", "a/ch01", "a/ch-1", ""])
def test_an_id_and_its_channel(row_id: str) -> None:
    assert whole_id(channel_id(row_id, 12)) == row_id


@pytest.mark.parametrize("row_id", ["a", "a/ch", "a/ch01", "a/chx", "a/ch0/b"])
def test_ids_that_are_no_channels(row_id: str) -> None:
    assert whole_id(row_id) == row_id


@pytest.mark.parametrize(
    ("wanted", "asked", "channels"),
    [
        ((), (), None),
        (("b", "b/ch1"), (), None),
        (("a",), ("a",), None),
        (("a/ch1", "b", "a/ch0"), ("a/ch1", "a/ch0"), (1, 0)),
        (("a", "a/ch0"), ("a", "a/ch0"), None),
    ],
)
def test_what_is_asked_of_a_row(
    wanted: tuple[str, ...], asked: tuple[str, ...], channels: tuple[int, ...] | None
) -> None:
    assert asked_of("a", wanted) == asked
    assert channels_asked("a", wanted) == channels
