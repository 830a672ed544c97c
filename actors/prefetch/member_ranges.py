"""Members of a tar in a store, read a stretch at a time where rows name neighbours.

Asked for one by one, each member is two requests, its size and its bytes. What lies one behind the
other is one request here, which the rows of the stretch share; it is dropped with the last of them.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from actors.prefetch.ranges import timed_range_reader
from actors.storage.addresses import AddressPolicy, is_store
from actors.storage.fetch import BLOCKS_FROM_BYTES, Limits, split_range
from uniaudio2.errors import BadRow

STRETCH_BYTES = 8 << 20
_GAP_BYTES = 256 << 10  # between members that one request reads
_AHEAD_BYTES = 32 << 20  # of stretches that no row asked for yet
_THREADS = 4
Read = Callable[[int, int], bytes]


@dataclass(eq=False)
class _Stretch:
    """Bytes of a tar from `start` to `stop`, and how many rows still want some of them."""

    start: int
    stop: int
    rows: int = 0
    data: Future[bytes] | None = None


class MemberRanges:
    """The members of one tar that the rows of a unit name, in the order of the rows.

    Args:
        uri: of the tar.
        names: addresses of audio, ``uri#bytes=START+LENGTH``, by row; those that are none, or name
            another file, are left to `open_uri`.
        read: reads bytes of the tar, from one place to another.
        limits: larger members are left to `open_uri`, too.
    """

    def __init__(self, uri: str, names: Sequence[object], read: Read, limits: Limits) -> None:
        self._uri, self._read = uri, read
        self._stretches: list[_Stretch] = []
        self._of_row: dict[int, int] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, "members")
        most = min(limits.max_bytes, BLOCKS_FROM_BYTES - 1)
        for row, name in enumerate(names):
            wanted = self._wanted(name)
            if wanted is not None and 0 < wanted[1] <= most:
                self._of_row[row] = self._placed(*wanted)

    def _wanted(self, name: object) -> tuple[int, int] | None:
        if not isinstance(name, str):
            return None
        uri, wanted = split_range(name, None)
        return wanted if uri == self._uri else None

    def _placed(self, start: int, length: int) -> int:
        """The number of the stretch that a member is in: the last one, if it can be."""
        stop = start + length
        last = self._stretches[-1] if self._stretches else None
        is_near = last is not None and last.start <= start <= last.stop + _GAP_BYTES
        if last is None or not is_near or max(stop, last.stop) - last.start > STRETCH_BYTES:
            last = _Stretch(start, stop)
            self._stretches.append(last)
        last.stop = max(last.stop, stop)
        last.rows += 1
        return len(self._stretches) - 1

    @contextmanager
    def row(self, row: int) -> Iterator[None]:
        """Read what a row names from here, in the block and in this thread.

        Args:
            row: its place among `names`.
        """
        number = self._of_row.get(row)
        if number is None:
            yield
            return
        stretch = self._stretches[number]
        self._begin(number)
        _here.found = self, stretch
        try:
            yield
        finally:
            _here.found = None
            with self._lock:
                stretch.rows -= 1
                if not stretch.rows:
                    stretch.data = None

    def _begin(self, number: int) -> None:
        """Have a stretch read, and some that follow it."""
        ahead = 0
        with self._lock:
            for place, stretch in enumerate(self._stretches[number:]):
                ahead += stretch.stop - stretch.start if place else 0
                if ahead > _AHEAD_BYTES:
                    return
                if stretch.data is None and stretch.rows:
                    stretch.data = self._pool.submit(self._read, stretch.start, stretch.stop)

    def open(self, stretch: _Stretch, uri: str) -> BinaryIO | None:
        """A member that lies in a stretch; None where it is to be asked for by itself."""
        wanted, data = self._wanted(uri), stretch.data
        if wanted is None or data is None:
            return None
        first, length = wanted[0] - stretch.start, wanted[1]
        try:
            found = data.result()[first : first + length] if first >= 0 else b""
        except (OSError, ValueError, BadRow):  # asked for by itself, it tells why
            return None
        return io.BytesIO(found) if len(found) == length else None

    def close(self) -> None:
        """Read nothing further."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Here(threading.local):
    found: tuple[MemberRanges, _Stretch] | None = None


_here = _Here()


def opened_here(uri: str) -> BinaryIO | None:
    """A member that is read with others, whose row is worked on in this thread; None for all else.

    Args:
        uri: the member's address.
    """
    if _here.found is None:
        return None
    members, stretch = _here.found
    return members.open(stretch, uri)


@contextmanager
def members_together(
    policy: AddressPolicy, names: Sequence[object], limits: Limits
) -> Iterator[MemberRanges | None]:
    """The members that rows of one tar in a store name; None where they name none.

    Args:
        policy: of the rows; its `tar` is the one whose members they may name.
        names: addresses by row.
        limits: of bytes and time.
    """
    if not policy.tar or not is_store(policy.tar) or policy.tar.lower().endswith(".zip"):
        yield None
        return
    try:
        policy.check(policy.tar)
        read = timed_range_reader(policy.tar, limits.timeout_s)
    except (BadRow, OSError, ValueError):  # which the rows will tell
        yield None
        return
    members = MemberRanges(policy.tar, names, read, limits)
    try:
        yield members
    finally:
        members.close()
