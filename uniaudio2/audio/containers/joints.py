"""The bytes of a container as FFmpeg gets them: nameless, and cut where files were joined.

Ogg, FLAC and MP3 may be joined by writing one behind the other (RFC 3533, 6 for Ogg). FFmpeg loses
what lies behind a joint, or its place; each link is therefore a stream of its own.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from uniaudio2.audio.containers.mpeg_audio import TAG_BYTES, header_at, tag_of
from uniaudio2.audio.containers.recognise import Found, is_id3

_CHUNK_BYTES = 1 << 18
_ID3_BYTES = 10
_FIRST_PAGE = 2  # flag of a page that begins a stream
_TAGS_AT = {b"Xing": (36, 21, 13), b"Info": (36, 21, 13), b"VBRI": (36,)}
_UNSURE_BYTES = 512  # what is nearer to the end of a chunk is looked at again with the next one
_PAGE_BYTES = 1 << 16  # the largest page is a little smaller
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# finds a joint in bytes that begin at an absolute position; what is before `start` is known
Search = Callable[[bytes, int], "int | None"]


class Link:
    """Bytes of one link, read forward only, as a file without a name.

    Args:
        file: binary and seekable; may be shared, for each read says where.
        found: what begins where.

    Attributes:
        joint: where the next link begins; None until all is read and if there is none.
        refused: False, as of `Whole`.
    """

    refused = False

    def __init__(self, file: BinaryIO, found: Found) -> None:
        self.joint: int | None = None
        self._file = file
        self._read_to = found.start
        self._held, self._first = b"", 0  # `_first`: the first byte of `_held` not given yet
        self._sure = 0  # so many bytes of `_held` hold no joint
        self._ends = False
        self._search = _SEARCHES[found.kind](file, found.start)
        self._tail = b""

    def read(self, size: int) -> bytes:
        """The next bytes, `size` at most; none at the end of the link."""
        while self._first >= self._sure and not self._ends:
            self._fill()
        given = self._held[self._first : min(self._first + size, self._sure)]
        self._first += len(given)
        return given

    def _fill(self) -> None:
        self._file.seek(self._read_to)
        chunk = self._file.read(_CHUNK_BYTES)
        self._tail = self._held[: self._sure][-_PAGE_BYTES:]
        rest = self._held[self._first :]
        self._held = rest + chunk if rest else chunk
        self._first = 0
        base = self._read_to + len(chunk) - len(self._held)
        self._read_to += len(chunk)
        self.joint = self._search(self._held, base)
        self._ends = self.joint is not None or not chunk
        if self.joint is not None:
            self._sure = self.joint - base
        else:
            self._sure = max(len(self._held) - (0 if self._ends else _UNSURE_BYTES), 0)

    def last_granule(self) -> int | None:
        """The position that the last page of an Ogg link states, when all of it has been read."""
        tail = self._tail + self._held[: self._sure]
        at = tail.rfind(b"OggS\0")
        granule = int.from_bytes(tail[at + 6 : at + 14], "little", signed=True) if at >= 0 else -1
        return granule if granule > 0 else None


class Whole:
    """A file from a position on, as a file without a name that can seek.

    Nothing is raised where a library calls back: PyAV and cffi would print it.

    Args:
        file: binary and seekable.
        start: becomes position 0.
        forbidden: bytes at which the file ends, for what they would have a library do.

    Attributes:
        refused: whether they came.
    """

    def __init__(self, file: BinaryIO, start: int, forbidden: bytes | None = None) -> None:
        self.joint: int | None = None
        self.refused = False
        self._file, self._start, self._forbidden = file, start, forbidden
        self._before = b""
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        data = self._file.read(size)
        if self._forbidden is None:
            return data
        seen = self._before + data
        self.refused = self.refused or self._forbidden in seen
        self._before = seen[1 - len(self._forbidden) :]
        return b"" if self.refused else data

    def readinto(self, buffer: Any) -> int:
        """As of any file; for libraries that want no copy. Nothing is forbidden here."""
        file: Any = self._file  # all that are binary and seekable have it
        count: int = file.readinto(buffer)
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file; positions count from the start. -1 where it cannot go."""
        self._before = b""
        try:
            if whence == os.SEEK_SET:
                offset += self._start
            return self._file.seek(offset, whence) - self._start
        except (ValueError, OSError, OverflowError):
            return -1

    def tell(self) -> int:
        """The position from the start."""
        return self._file.tell() - self._start


def has_joint(file: io.BytesIO, found: Found) -> bool:
    """Whether something is joined to a file in memory."""
    return _SEARCHES[found.kind](file, found.start)(file.getvalue(), 0) is not None


def is_joinable(kind: str) -> bool:
    """Whether files of this kind can be joined by writing one behind the other."""
    return kind in _SEARCHES


def _places(held: bytes, word: bytes) -> Iterator[int]:
    """Where a word stands; quicker than an expression."""
    at = held.find(word)
    while at >= 0:
        yield at
        at = held.find(word, at + 1)


def _flac_search(_: BinaryIO, start: int) -> Search:
    def search(held: bytes, base: int) -> int | None:
        for at in _places(held, b"fLaC"):
            # the block of metadata that comes first, whether it is the last or not
            if base + at > start and held[at + 4 : at + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):
                return base + at
        return None

    return search


def _mpeg_search(file: BinaryIO, start: int) -> Search:
    tag = tag_of(_head(file, start, TAG_BYTES))
    stated = start + tag.size if tag and tag.size else None  # the stream's end by its own tag

    def search(held: bytes, base: int) -> int | None:
        if stated is not None:
            ends = stated - base
            if ends > len(held) - _ID3_BYTES:
                return None  # nothing begins before the end that its own tag states
            if ends >= 0 and (header_at(held, ends) or is_id3(held[ends : ends + _ID3_BYTES])):
                return stated
        found = [
            base + at
            for word in (b"Xing", b"Info", b"VBRI", b"ID3")
            for place in _places(held, word)
            if (at := _mpeg_link(held, place, word)) is not None and base + at > start
        ]
        return min(found, default=None)

    return search


def _head(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _mpeg_link(held: bytes, at: int, word: bytes) -> int | None:
    if word == b"ID3":
        return at if is_id3(held[at : at + _ID3_BYTES]) else None
    for before in _TAGS_AT[word]:
        header = header_at(held, at - before) if at >= before else None
        if header is not None and before in (header.tag_at, 36 if word == b"VBRI" else 0):
            return at - before
    return None


def _ogg_search(_: BinaryIO, start: int) -> Search:
    group_end = start  # streams of one link begin side by side

    def search(held: bytes, base: int) -> int | None:
        nonlocal group_end
        for place in _places(held, b"OggS\0"):
            at = base + place
            if place + 5 >= len(held) or not held[place + 5] & _FIRST_PAGE:
                continue
            size = _ogg_page(held, place)
            if at == group_end:
                group_end += size
            elif at > group_end and size:
                return at
        return None

    return search


def _ogg_page(held: bytes, at: int) -> int:
    """Size of a page whose checksum is right, 0 where none is or it does not end here."""
    if len(held) < at + 27 or len(held) < at + 27 + held[at + 26]:
        return 0
    size = 27 + held[at + 26] + sum(held[at + 27 : at + 27 + held[at + 26]])
    if len(held) < at + size:
        return 0
    stated = int.from_bytes(held[at + 22 : at + 26], "little")
    page = held[at : at + 22] + bytes(4) + held[at + 26 : at + size]
    return size if _ogg_checksum(page) == stated else 0


def _ogg_checksum(page: bytes) -> int:
    """RFC 3533's CRC-32: zlib's with the bits of all bytes turned round and no inversion."""
    turned = zlib.crc32(page.translate(_TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)


_SEARCHES: dict[str, Callable[[BinaryIO, int], Search]] = {
    "flac": _flac_search,
    "mp3": _mpeg_search,
    "ogg": _ogg_search,
}
