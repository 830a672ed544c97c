"""Where joined files are cut, whatever the pieces in which they are read."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from tests.uniaudio2.audio.fixtures import data_of
from uniaudio2.audio.containers import joints
from uniaudio2.audio.containers.joints import Link, Whole, is_joinable
from uniaudio2.audio.containers.recognise import Found

KINDS = [
    ("ogg", "oggenc.ogg"), ("ogg", "opusenc.opus"), ("ogg", "flac.oga"), ("flac", "flac.flac"),
    ("mp3", "lame.mp3"),
]  # fmt: skip


def read_all(link: Link, size: int) -> bytes:
    pieces = []
    while piece := link.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("chunk", [1 << 18, 700, 1501])
def test_each_link_is_a_file(
    kind: str, name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joints, "_CHUNK_BYTES", chunk)
    data, front = data_of(name), b"front"
    start = data.index(b"\xff\xfb") if kind == "mp3" else 0
    data = data[start:]
    file = io.BytesIO(front + data + data + data)
    at = len(front)
    for number in range(3):
        link = Link(file, Found(kind, at))
        assert read_all(link, 997) == data
        at += len(data)
        assert link.joint == (at if number < 2 else None)


def test_a_tag_in_the_middle_is_a_joint() -> None:
    data = data_of("lame_no_tag.mp3")
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    link = Link(io.BytesIO(data + tag + data), Found("mp3", 0))
    assert read_all(link, 4096) == data
    assert link.joint == len(data)


def test_words_of_tags_in_other_places_are_none() -> None:
    data = data_of("lame_no_tag.mp3")
    words = b"Info Xing VBRI ID3 OggS\0\2 fLaC "
    link = Link(io.BytesIO(data + words + data), Found("mp3", 0))
    assert len(read_all(link, 4096)) == 2 * len(data) + len(words)


def test_a_page_that_only_looks_like_a_first_one() -> None:
    data = data_of("oggenc.ogg")
    false = bytearray(data[:58])
    false[30] ^= 1  # its checksum is wrong now
    link = Link(io.BytesIO(data + bytes(false) + data), Found("ogg", 0))
    assert len(read_all(link, 4096)) == len(data) + len(false)


def test_streams_side_by_side_are_one_link() -> None:
    """Pages that begin streams stand together: sound and picture of one file."""
    data = data_of("oggenc.ogg")
    group = data[:58] + data
    link = Link(io.BytesIO(group + data), Found("ogg", 0))
    assert read_all(link, 4096) == group
    assert link.joint == len(group)


def test_the_last_position_of_an_ogg() -> None:
    link = Link(io.BytesIO(data_of("oggenc.ogg")), Found("ogg", 0))
    read_all(link, 1000)
    assert link.last_granule() == 22_050


def test_a_file_from_a_position_on() -> None:
    whole = Whole(io.BytesIO(b"front" + bytes(range(50))), 5)
    assert whole.read(3) == bytes([0, 1, 2])
    assert whole.seek(10) == 10
    assert whole.read(1) == bytes([10])
    assert whole.seek(-1, os.SEEK_END) == 49
    assert whole.tell() == 49
    assert whole.seek(-9, os.SEEK_CUR) == 40
    assert not hasattr(whole, "name")
    assert is_joinable("ogg") and not is_joinable("mov")


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_forbidden_bytes_are_seen_across_reads(size: int) -> None:
    whole = Whole(io.BytesIO(b"." * 50 + b"dcomzlib" + b"." * 50), 3, b"dcomzlib")
    while whole.read(size):
        assert not whole.refused
    assert whole.refused
    assert whole.read(size) == b""


def test_forbidden_bytes_that_are_not_read_together() -> None:
    whole = Whole(io.BytesIO(b"." * 50 + b"dcomzlib" + b"." * 50), 3, b"dcomzlib")
    whole.read(50)
    whole.seek(51)
    assert (len(whole.read(200)), whole.refused) == (54, False)


def test_seeks_that_lead_nowhere_raise_nothing() -> None:
    whole = Whole(io.BytesIO(bytes(10)), 0)
    assert whole.seek(-5) == whole.seek(1 << 70) == -1


def test_checksums_are_those_of_ogg() -> None:
    page = bytearray(data_of("opusenc.opus")[:47])
    stated = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    table = np.zeros(256, np.uint64)
    for number in range(256):
        value = number << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table[number] = value
    slow = 0
    for byte in page:
        slow = (slow << 8 & 0xFFFFFFFF) ^ int(table[slow >> 24 ^ byte])
    assert joints._ogg_checksum(bytes(page)) == slow == stated
