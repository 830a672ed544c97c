"""What a file is, by its bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uniaudio2.audio.fixtures import FIXTURES, data_of
from uniaudio2.audio.containers.recognise import Found, is_id3, recognise
from uniaudio2.audio.decoders.opened import DEMUXERS

KINDS = {
    "mp3": "mp3", "mp2": "mp3", "flac": "flac", "oga": "ogg", "ogg": "ogg", "opus": "ogg",
    "spx": "ogg", "m4a": "mov", "mp4": "mov", "aac": "aac", "mka": "matroska", "webm": "matroska",
    "wma": "asf", "ac3": "ac3", "rm": "rm", "tta": "tta", "wv": "wv", "caf": "caf", "aifc": "aiff",
    "wav": "wav", "w64": "w64", "sph": "sphere", "au": "au", "voc": "voc", "avi": "avi",
    "ts": "mpegts",
}  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
def test_what_programs_write(name: str) -> None:
    suffix = name.removesuffix(".xz").rpartition(".")[2]
    data = data_of(name)
    found = recognise(io.BytesIO(data))
    assert found is not None
    assert found.kind == KINDS[suffix]
    assert (found.start > 0) == data.startswith(b"ID3")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"#!AMR-WB\n" + bytes(50), "amr"),
        (b"RIFX\0\0\1\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        (b"RIFF\0\0\0\0CDXA", None),
        (b"\0\0\0\x18ftypavif", "mov"),
        (b"\x56\xe0\x05" + bytes(5) + b"\x56\xe0\x05" + bytes(5), "loas"),
        (b"\x0b\x77\x00\x00\x1c\x40" + bytes(50), "ac3"),
        (b"\x0b\x77\x00\x00\x3f\x80" + bytes(50), "eac3"),
        (b"plain text, nothing else\n" * 200, None),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://x/a.ts\n", None),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", None),
        (b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash'/>", None),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", None),
        (b"\xff\xfb\x90\x00" + b"\x55" * 3000, None),
        (bytes(100_000), None),
        (b"", None),
    ],
)
def test_other_beginnings(head: bytes, kind: str | None) -> None:
    found = recognise(io.BytesIO(head))
    assert (found and found.kind) == kind


@given(st.binary(max_size=3000))
def test_any_bytes_are_looked_at_without_a_fault(data: bytes) -> None:
    found = recognise(io.BytesIO(data))
    assert found is None or found.start <= len(data)


def test_tags_in_front_of_each_other_end() -> None:
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    assert recognise(io.BytesIO(tag * 3 + b"fLaC")) == Found("flac", 60)
    assert recognise(io.BytesIO(tag * 1000)) is None


@pytest.mark.parametrize("head", [b"ID3", b"ID3\x05" + bytes(6), b"ID3\x03\0\0\xff\0\0\0"])
def test_what_is_no_id3_tag(head: bytes) -> None:
    assert not is_id3(head)


def test_playlists_and_devices_have_no_demuxer() -> None:
    never = {"hls", "concat", "dash", "rtsp", "sdp", "image2", "lavfi", "ffmetadata", "tedcaptions"}
    assert not never & set(DEMUXERS.values())
