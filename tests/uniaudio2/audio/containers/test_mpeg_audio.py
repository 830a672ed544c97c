"""Headers and tags of MPEG audio."""

from __future__ import annotations

import pytest

from tests.uniaudio2.audio.fixtures import FIXTURES, data_of
from uniaudio2.audio.containers.mpeg_audio import first_frame, header_at, is_stream, tag_of


@pytest.mark.parametrize(
    ("head", "rate", "channels", "samples", "size"),
    [
        ("fffb9064", 44_100, 2, 1152, 417),
        ("fffb92c4", 44_100, 1, 1152, 418),
        ("fff340c4", 22_050, 1, 576, 104),
        ("ffe338c4", 8000, 1, 576, 216),
        ("fffd8004", 44_100, 2, 1152, 417),
        ("ffff9000", 44_100, 2, 384, 12 * 288_000 // 44_100 * 4),
    ],
)
def test_headers(head: str, rate: int, channels: int, samples: int, size: int) -> None:
    header = header_at(bytes.fromhex(head))
    assert header is not None
    assert (header.rate, header.channels, header.samples, header.size) == (
        rate, channels, samples, size,
    )  # fmt: skip


@pytest.mark.parametrize("head", ["fff19064", "ffeb9064", "fffb0064", "fffbf064", "fffb9c64", "ff"])
def test_what_is_no_header(head: str) -> None:
    assert header_at(bytes.fromhex(head)) is None


@pytest.mark.parametrize("name", ["lame.mp3", "ffmpeg.mp3", "lame_vbr_stereo.mp3"])
def test_a_tag_states_what_there_is(name: str) -> None:
    data = data_of(name)
    start = first_frame(data)
    assert start is not None
    tag = tag_of(data[start : start + 200])
    assert tag is not None
    assert tag.samples == FIXTURES[name].samples
    assert tag.size == len(data) - start
    assert 0 <= tag.padding < 3000


@pytest.mark.parametrize("name", ["lame_no_tag.mp3", "lame_16k.mp3", "twolame.mp2"])
def test_no_tag(name: str) -> None:
    assert tag_of(data_of(name)[:200]) is None


def test_a_tag_of_another_writer_states_no_padding() -> None:
    frame = bytearray(data_of("lame.mp3")[:200])
    at = frame.index(b"LAME") if b"LAME" in frame else frame.index(b"Lavc")
    frame[at : at + 4] = b"ABCD"
    tag = tag_of(bytes(frame))
    assert tag is not None
    assert (tag.samples % 1152, tag.padding) == (0, 0)


def test_a_vbri_tag() -> None:
    frame = bytearray.fromhex("fffb90c4") + bytes(196)
    frame[36:40] = b"VBRI"
    frame[46:54] = (417 * 11).to_bytes(4, "big") + (10).to_bytes(4, "big")
    tag = tag_of(bytes(frame))
    assert tag is not None
    assert (tag.samples, tag.padding, tag.size) == (11_520, 0, 417 * 11)


def test_frames_behind_something_else() -> None:
    data = data_of("twolame.mp2")
    assert first_frame(b"\xff\xfb\x90" * 50 + data) == 150
    assert first_frame(b"no audio at all" * 100) is None
    assert is_stream(data, 0, 4, ends=True)
    assert not is_stream(data[1:], 0, 1, ends=True)
