"""What a file is, by its bytes alone: no name, no guess of a library."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from uniaudio2.audio.containers.mpeg_audio import first_frame, is_stream

_HEAD_BYTES = 4096
_SEARCHED_BYTES = 1 << 16
_MOST_ZEROS = 1 << 20
_MOST_PREFIXES = 16
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_BEGINNINGS = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (_ASF, "asf"),
    (_W64, "w64"),
    (b".snd", "au"),
    (b"dns.", "au"),
    (b"caff", "caf"),
    (b"NIST_1A\n", "sphere"),
    (b"#!AMR\n", "amr"),
    (b"#!AMR-WB\n", "amr"),
    (b"#!iLBC", "ilbc"),
    (b"wvpk", "wv"),
    (b"TTA1", "tta"),
    (b"MAC ", "ape"),
    (b"tBaK", "tak"),
    (b"MPCK", "mpc8"),
    (b"MP+", "mpc"),
    (b"ajkg", "shn"),
    (b"DSD ", "dsf"),
    (b"FLV\x01", "flv"),
    (b".RMF", "rm"),
    (b".ra\xfd", "rm"),
    (b"Creative Voice File", "voc"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x7f\xfe\x80\x01", "dts"),
    (b"\xfe\x7f\x01\x80", "dts"),
    (b"\x1f\xff\xe8\x00", "dts"),
    (b"\xff\x1f\x00\xe8", "dts"),
)
# form at the beginning, kind at byte 8
_FORMS = {
    (b"RIFF", b"WAVE"): "wav",
    (b"RIFX", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"BW64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"RIFF", b"XWMA"): "xwma",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
_HTTP = re.compile(rb"HTTP/\d[ -~\r\n\t]{0,4000}?\r?\n\r?\n")
_TS_PACKETS = 5


class Found(NamedTuple):
    """A container within a file.

    Attributes:
        kind: a name of this module's tables.
        start: its first byte; tags and what a download left in front of it lie before.
    """

    kind: str
    start: int


def recognise(file: BinaryIO, start: int = 0) -> Found | None:
    """What a file holds from a position on; None where no kind is recognised."""
    for _ in range(_MOST_PREFIXES):
        head = _read(file, start, _HEAD_BYTES)
        ends = len(head) < _HEAD_BYTES
        kind = _by_beginning(head) or _by_frames(head, ends)
        if kind:
            return Found(kind, start)
        length = _prefix(file, start, head)
        if not length:
            break
        start += length
    head = _read(file, start, _SEARCHED_BYTES)
    at = first_frame(head)
    return None if at is None else Found("mp3", start + at)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _by_beginning(head: bytes) -> str | None:
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[4:8] in _MOV_ATOMS:
        return "mov"
    return _FORMS.get((head[:4], head[8:12]))


def _by_frames(head: bytes, ends: bool) -> str | None:
    """The streams without a header of their own, by frames that follow each other."""
    for step, first in ((188, 0), (192, 4)):
        marks = head[first : first + step * _TS_PACKETS : step]
        if marks == b"\x47" * _TS_PACKETS:
            return "mpegts"
    if head[:2] == b"\x0b\x77" and len(head) > 5:
        return "ac3" if head[5] >> 3 <= 10 else "eac3"
    if _follows(head, ends, _adts_size):
        return "aac"
    if _follows(head, ends, _loas_size):
        return "loas"
    return "mp3" if is_stream(head, 0, 2, ends) else None


def _follows(head: bytes, ends: bool, size_at: Callable[[bytes, int], int]) -> bool:
    first = size_at(head, 0)
    if not first:
        return False
    if first + 8 > len(head):
        return ends
    return bool(size_at(head, first))


def _adts_size(head: bytes, at: int) -> int:
    if len(head) < at + 7 or head[at] != 0xFF or head[at + 1] & 0xF6 != 0xF0:
        return 0
    size = (head[at + 3] & 3) << 11 | head[at + 4] << 3 | head[at + 5] >> 5
    return size if size >= 7 and head[at + 2] >> 2 & 15 < 13 else 0


def _loas_size(head: bytes, at: int) -> int:
    if len(head) < at + 3 or head[at] != 0x56 or head[at + 1] & 0xE0 != 0xE0:
        return 0
    return ((head[at + 1] & 0x1F) << 8 | head[at + 2]) + 3


def _prefix(file: BinaryIO, start: int, head: bytes) -> int:
    """Length of what stands in front: an ID3v2 tag, a saved HTTP header or zeros."""
    if is_id3(head):
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if found := _HTTP.match(head):
        return found.end()
    zeros = 0
    while zeros < _MOST_ZEROS and head[:1] == b"\0":
        left = len(head.lstrip(b"\0"))
        zeros += len(head) - left
        if left:
            break
        head = _read(file, start + zeros, _HEAD_BYTES)
    return zeros


def is_id3(head: bytes) -> bool:
    """Whether an ID3v2 tag begins here (id3.org, ID3v2.4.0 structure, 3.1)."""
    return (
        len(head) >= 10
        and head[:3] == b"ID3"
        and head[3] in (2, 3, 4)
        and not head[5] & 0x0F
        and not any(byte & 0x80 for byte in head[6:10])
    )
