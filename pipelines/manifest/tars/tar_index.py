"""Indexes of tars that other tools wrote: where members lie, so that no header need be read.

What is read is the text of NVIDIA DALI's `wds2idx` (its source: tools/wds2idx.py of DALI): a line
``v1.2 SAMPLES``, then one for each sample, ``ENDING OFFSET SIZE NAME`` for each of its members.
Nothing ties such a file to its tar, so the layout that it tells must fill the tar, and some of the
headers are read and must say the same.

Indexes that only tell where samples begin name nothing, so headers are read all the same: many at
once, where the index says that they are.

Where headers are longer than a block, as those that `webdataset` writes, the offsets of some
versions are too large by what the header behind is longer; sizes and order tell the places anyway.
"""

from __future__ import annotations

import io
import tarfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from actors.prefetch.in_order import Span, in_order, spans_ahead
from actors.storage.fetch import byte_range
from pipelines.manifest.tars.members import DamagedArchive, Member

MOST_INDEX_BYTES = 64 << 20
_VERSION = b"v1.2"
_FIELDS = 4  # of a member
_PLACE = np.dtype("<u8")
_BLOCK = tarfile.BLOCKSIZE
_MOST_HEADER_BYTES = 8 * _BLOCK  # with those that are before it for long names and times
_MOST_BEHIND_BYTES = 64 << 10  # zeros up to the end of a record
_CHECKED, _MOST_CHECKED = 8, 64
_GAP_BYTES = 64 << 10  # between texts that one request reads
_MOST_PIECE_BYTES = 1 << 20
_AT_ONCE, _AHEAD_BYTES = 32, 8 << 20  # of pieces
ReadRange = Callable[[int, int], bytes]


def sample_places(data: bytes, size: int) -> list[int]:
    """Where samples begin in a tar, by an index of Megatron-Energon, Lhotse or NeMo: ascending
    numbers of 64 bits, the last of which is that of the end; none for any other file.

    Args:
        data: the index.
        size: of its tar in bytes.
    """
    if not data or len(data) % _PLACE.itemsize:
        return []
    places = np.frombuffer(data, _PLACE)
    found: list[int] = places.tolist()
    is_whole = 0 <= size - found[-1] <= _MOST_BEHIND_BYTES
    if not is_whole or (places % _BLOCK)[:-1].any() or (places[1:] <= places[:-1]).any():
        return []
    return found[:-1]


class UnusableIndex(Exception):
    """An index that does not tell where the members of its tar lie."""


def parse_index(data: bytes, size: int) -> list[Member]:
    """The members that an index names, in its order and where it says.

    Args:
        data: the index.
        size: of its tar in bytes, whose blocks bound how many there can be.

    Raises:
        UnusableIndex: it is of another layout, or cut short.
    """
    if data.count(b" ") > _FIELDS * (size // _BLOCK):
        raise UnusableIndex
    try:
        first, *lines = data.decode().split("\n")
        version, count = first.split(" ")
        samples = [line.split(" ") for line in lines if line]
        members = [
            _member(*words[at : at + _FIELDS])
            for words in samples
            for at in range(0, len(words), _FIELDS)
        ]
    except (ValueError, TypeError) as fault:
        raise UnusableIndex from fault
    if version.encode() != _VERSION or int(count) != len(samples) or not members:
        raise UnusableIndex
    return members


def _member(ending: str, offset: str, size: str, name: str) -> Member:
    # the tool writes other than plain names as `tar` shows them
    if not name.endswith(ending) or "\\" in name:
        raise ValueError(name)
    return Member(name, int(offset), int(size))


def found_members(members: Sequence[Member], size: int, read: ReadRange) -> list[Member]:
    """The members that an index names, where they lie in its tar.

    Args:
        members: of `parse_index`.
        size: of the tar in bytes.
        read: reads bytes of it.

    Raises:
        UnusableIndex: the tar is another, or has members that the index does not name.
    """
    if _are_there(members, size, read):
        return list(members)
    behind = _placed_behind(members, read)
    if _are_there(behind, size, read):
        return behind
    raise UnusableIndex


def _are_there(members: Sequence[Member], size: int, read: ReadRange) -> bool:
    """Tell whether members fill a tar, and those of which that is in doubt have their headers."""
    gaps = _gaps(members)
    last, behind = len(members) - 1, size - _end(members[-1])
    are_headers = all(
        _BLOCK <= gap <= _MOST_HEADER_BYTES and not gap % _BLOCK and member.size >= 0
        for gap, member in zip(gaps, members, strict=True)
    )
    if not are_headers or not 0 <= behind <= _MOST_BEHIND_BYTES:
        return False
    if behind and read(size - behind, size).strip(b"\0"):
        return False
    # most headers are alike; between others there may be a member that is not named
    usual = Counter(gaps).most_common(1)[0][0]
    others = [place for place, gap in enumerate(gaps) if gap != usual]
    spread = {last * number // (_CHECKED - 1) for number in range(_CHECKED)}
    if len(others) > _MOST_CHECKED:
        return False
    return all(_is_there(members, place, read) for place in sorted({*spread, *others}))


def _end(member: Member) -> int:
    """Where the block begins that is behind a member."""
    return member.offset + -(-member.size // _BLOCK) * _BLOCK


def _gaps(members: Sequence[Member]) -> list[int]:
    """How much lies before each member, behind the one before it."""
    ends = [0, *map(_end, members)]
    return [member.offset - end for member, end in zip(members, ends, strict=False)]


def _placed_behind(members: Sequence[Member], read: ReadRange) -> list[Member]:
    """Members by the place of the block before each, which their offsets count from the end."""
    first = _header(read(0, _MOST_HEADER_BYTES))
    found = [Member(members[0].name, first.offset_data if first else 0, members[0].size)]
    for before, member in pairwise(members):
        found.append(Member(member.name, _end(before) + _BLOCK, member.size))
    return found


def _is_there(members: Sequence[Member], place: int, read: ReadRange) -> bool:
    """Tell whether the header before a member is its own."""
    member = members[place]
    end = _end(members[place - 1]) if place else 0
    found = _header(read(end, member.offset))
    return (
        found is not None
        and found.isfile()
        and not found.issparse()
        and (found.name, found.size) == (member.name, member.size)
        and end + found.offset_data == member.offset
    )


def _header(data: bytes) -> tarfile.TarInfo | None:
    """The first file's header in some bytes of a tar; None where there is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            found = tar.next()
            while found is not None and found.isdir():
                found = tar.next()
            return found
    except (tarfile.TarError, OSError, EOFError):
        return None


@dataclass
class IndexedTar:
    """A tar whose members an index names.

    Args:
        uri: its address.
        found: its members, where they lie.
        read_range: reads bytes of it.
        threads: how many such calls at once.
        is_read: tells by its name whether a member is small and read; those are fetched ahead.
    """

    uri: str
    found: Sequence[Member]
    read_range: ReadRange
    threads: int
    is_read: Callable[[Member], bool]
    header_bytes: int = _BLOCK
    odd: str = "is a sparse member; pack the tar without --sparse"
    _pieces: list[Span] = field(default_factory=list)
    _held: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in filter(self.is_read, self.found):
            start, stop = member.offset, member.offset + member.size
            first, last = self._pieces[-1] if self._pieces else (start, -_GAP_BYTES - 1)
            if start - last <= _GAP_BYTES and stop - first <= _MOST_PIECE_BYTES:
                self._pieces[-1] = first, stop
            else:
                self._pieces.append((start, stop))

    def members(self) -> Iterator[Member]:
        return iter(self.found)

    def read(self, member: Member, size: int) -> bytes:
        start, stop = member.offset, member.offset + min(size, member.size)
        if start == stop:
            return b""
        number = bisect_right(self._pieces, start, key=lambda piece: piece[0]) - 1
        try:
            if number < 0 or stop > self._pieces[number][1]:
                data = self.read_range(start, stop)
            else:
                first, _ = self._pieces[number]
                data = self._piece(number)[start - first : stop - first]
        except OSError as error:
            message = f"{self.uri} cannot be read on: {error}; fetch it again"
            raise DamagedArchive(message) from error
        if len(data) < stop - start:
            raise DamagedArchive(f"{self.uri} cannot be read on: it is cut short; fetch it again")
        return data

    def _piece(self, number: int) -> bytes:
        """Some bytes with texts, read with those that follow them."""
        if number not in self._held:
            ahead = spans_ahead(self._pieces, number, _AT_ONCE, _AHEAD_BYTES)
            read = in_order(lambda one: self.read_range(*self._pieces[one]), ahead, self.threads)
            self._held = dict(zip(ahead, read, strict=True))
        return self._held[number]

    def address(self, member: Member) -> str:
        return byte_range(self.uri, member.offset, member.size)
