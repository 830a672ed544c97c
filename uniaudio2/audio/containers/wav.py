"""Headers of WAV (RIFF, RIFX, RF64, BW64) and Sony's Wave64: where the samples are.

Sources: Microsoft's "Multiple channel audio data and WAVE files", EBU Tech 3306 (RF64), ITU-R
BS.2088 (BW64). Sizes are checked against the file: a recorder that was killed leaves 0,
0xFFFFFFFF or what it wrote first, a program that writes to a pipe 0x7FFFF000 and more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from uniaudio2.audio.containers.recognise import Found
from uniaudio2.audio.containers.stored import Stored, Undecodable

_MOST_CHUNKS = 4096
_MOST_READ = 4096
_PLACEHOLDERS = range(0x7FFFF000, 0x80000001)
_ENDLESS = 0xFFFFFF00
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_TAIL_OF_PCM = bytes.fromhex("000000001000800000aa00389b71")
_TAIL_OF_AMBISONIC = bytes.fromhex("00002107d3118644c8c1ca000000")
_INTEGERS = {1: "u8", 2: "s16", 3: "s24", 4: "s32"}
_SPEAKERS = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split()
# chunks that programs write behind the samples
_BEHIND = re.compile(
    rb"LIST|id3 |ID3 |fact|cue |smpl|inst|bext|iXML|PEAK|afsp|_PMX|JUNK|junk|PAD |FLLR|axml|chna|"
    rb"DISP|note|plst|acid|umid|cart|levl|link|r64m"
)
_TAIL_BYTES = 1 << 16
# IEC 61937 among 16-bit samples, and DTS as a CD holds it: FFmpeg looks closer
_CODED_IN_PCM = re.compile(
    rb"\x72\xf8\x1f\x4e|\xfe\x7f\x01\x80|\x7f\xfe\x80\x01|\xff\x1f\x00\xe8|\x1f\xff\xe8\x00"
)
_LOOKED_AT = 1 << 14


class Coded(NamedTuple):
    """A WAV whose samples are coded.

    Attributes:
        samples: of one channel as its `fact` chunk states them, or None.
    """

    samples: int | None


class _Format(NamedTuple):
    encoding: str | None
    channels: int
    rate: int
    speakers: tuple[str, ...]


class _Chunk(NamedTuple):
    name: bytes
    body: int
    size: int


def read_wav(file: BinaryIO, found: Found) -> Stored | Coded:
    """Where the samples of a WAV or Wave64 file are.

    Raises:
        Undecodable: no format or no samples where the header says.
    """
    file.seek(found.start)
    big = file.read(4) == b"RIFX"
    form: _Format | None = None
    long_size = fact = None
    for chunk in _chunks(file, found, big):
        content = b""
        if chunk.name in (b"fmt ", b"fact", b"ds64"):
            file.seek(chunk.body)
            content = file.read(min(chunk.size, _MOST_READ))
        if chunk.name == b"fmt ":
            form = _format(content, big)
        elif chunk.name == b"fact" and len(content) >= 4:
            fact = _number(content[:4], big)
        elif chunk.name == b"ds64" and len(content) >= 16:
            long_size = _number(content[8:16], big)
        elif chunk.name == b"data" and form is not None:
            if form.encoding is None or _is_coded(file, form, chunk):
                return Coded(fact)
            if long_size is not None and chunk.size == 0xFFFFFFFF:
                chunk = chunk._replace(size=long_size)
            stale = found.kind == "wav" and _is_stale(file, chunk, big)
            return _stored(file, form, form.encoding, big, chunk, stale)
    raise Undecodable("a WAV header without format or samples; the file is cut: fetch it again")


def _chunks(file: BinaryIO, found: Found, big: bool) -> Iterator[_Chunk]:
    wave64 = found.kind == "w64"
    head_size, at = (24, found.start + 40) if wave64 else (8, found.start + 12)
    end = file.seek(0, os.SEEK_END)
    for _ in range(_MOST_CHUNKS):
        file.seek(min(at, end))
        head = file.read(head_size)
        if len(head) < head_size:
            return
        size = max(_number(head[16:], False) - 24, 0) if wave64 else _number(head[4:], big)
        yield _Chunk(head[:4], at + head_size, size)
        at += head_size + (-(-size // 8) * 8 if wave64 else size + size % 2)


def _number(data: bytes, big: bool) -> int:
    return int.from_bytes(data, "big" if big else "little")


def _format(content: bytes, big: bool) -> _Format:
    if len(content) < 16:
        raise Undecodable("a WAV header whose format is cut; fetch the file again")
    tag, channels = _number(content[:2], big), _number(content[2:4], big)
    rate, bits = _number(content[4:8], big), _number(content[14:16], big)
    speakers: tuple[str, ...] = ()
    if tag == _EXTENSIBLE and len(content) >= 40:
        tag = _number(content[24:26], big)
        if content[26:40] == _TAIL_OF_PCM:
            speakers = _speakers(_number(content[20:24], big), channels)
        elif content[26:40] != _TAIL_OF_AMBISONIC:
            tag = _EXTENSIBLE
    encoding = None
    if tag == _PCM:
        encoding = _INTEGERS.get(-(-bits // 8))
    elif tag == _FLOAT and bits in (32, 64):
        encoding = f"f{bits}"
    elif tag in (_A_LAW, _MU_LAW) and bits == 8:
        encoding = "alaw" if tag == _A_LAW else "ulaw"
    return _Format(encoding, channels, rate, speakers)


def _speakers(mask: int, channels: int) -> tuple[str, ...]:
    names = tuple(name for bit, name in enumerate(_SPEAKERS) if mask >> bit & 1)
    return names[:channels] if len(names) >= channels else ()


def _is_coded(file: BinaryIO, form: _Format, data: _Chunk) -> bool:
    """Whether samples that are said to be plain may be a coded stream."""
    if form.encoding != "s16" or form.channels != 2:
        return False
    file.seek(data.body)
    found = _CODED_IN_PCM.search(file.read(min(data.size or _LOOKED_AT, _LOOKED_AT)))
    return found is not None and found.start() % 4 == 0


def _is_stale(file: BinaryIO, data: _Chunk, big: bool) -> bool:
    """Whether most samples lie behind the stated end, where no chunk is.

    Python's `wave` states what was written first until it is closed.
    """
    end, at = file.seek(0, os.SEEK_END), data.body + data.size + data.size % 2
    if end - data.body <= 2 * data.size:
        return False
    file.seek(at)
    head = file.read(8)
    is_named = re.fullmatch(rb"[ -~]{4}", head[:4]) is not None
    return not (is_named and at + 8 + _number(head[4:], big) <= end + 1)


def _stored(
    file: BinaryIO, form: _Format, encoding: str, big: bool, data: _Chunk, stale: bool
) -> Stored:
    end = file.seek(0, os.SEEK_END)
    size, there = data.size, end - data.body
    placeholder = size in _PLACEHOLDERS or size >= _ENDLESS
    unfinished = size == 0 or stale or (size > there and placeholder)
    missing = 0
    if unfinished:
        size = _behind(file, data.body, end) - data.body
        unfinished = size > 0
    elif size > there:
        size, missing = there, size - there
    return Stored(form.rate, form.channels, encoding, big, data.body, size, form.speakers, missing,
                  unfinished)  # fmt: skip


def _behind(file: BinaryIO, body: int, end: int) -> int:
    """Where samples of unstated length end: at the chunks that reach to the file's end."""
    first = max(body, end - _TAIL_BYTES)
    file.seek(first)
    tail = file.read(end - first)
    for found in _BEHIND.finditer(tail):
        at = found.start()
        while at + 8 <= len(tail) and _BEHIND.match(tail, at):
            size = _number(tail[at + 4 : at + 8], False)
            at += 8 + size + size % 2
            if at in (len(tail), len(tail) + 1):
                return first + found.start()
    return end
