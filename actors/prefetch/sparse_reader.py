"""An archive in a store whose headers are read and whose members are passed over.

Where members are small, what lies between two headers is read with them: a request takes what
megabytes take. Where they are large, a request fetches a header and little more. Who knows about
where headers lie has many of them read at once.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from actors.prefetch.in_order import Span, in_order, spans_ahead
from actors.prefetch.ranges import range_reader
from actors.storage.addresses import is_store
from actors.storage.fetch import require_regular
from actors.storage.file_systems import retrying, split_uri

_FIRST_BYTES = 64 << 10
_LEAST_BYTES, _MOST_BYTES = 8 << 10, 4 << 20
_FAR_BYTES = 256 << 10  # passing over less is no gain
_FAR_AHEAD_BYTES = 16 << 10
_SHARE = 64  # of what is passed over, so much is read behind it
_AROUND_BYTES = 4 << 10  # before and behind a place where a header is expected
_AT_ONCE = 32  # places that are read ahead
_AHEAD_BYTES = 8 << 20
_MOST_MISSES = 8
Window = tuple[int, bytes]


class SparseReader(io.RawIOBase):
    """An object that is read forward with gaps.

    Args:
        read_range: reads the bytes from one place to another.
        size: of the object.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        self._read_range, self._size, self._at = read_range, size, 0
        self._windows: list[Window] = []  # the last two: readers look back a little
        self._ahead = _FIRST_BYTES
        self._expected: list[Span] = []
        self._held: dict[int, bytes] = {}
        self._threads, self._hits, self._misses = 1, 0, 0

    @property
    def is_misled(self) -> bool:
        """Whether headers were not where they were expected."""
        return self._misses > max(self._hits, _MOST_MISSES)

    def expect(self, places: Sequence[int], threads: int) -> None:
        """Read what lies about some places ahead, where they are right; they need not be.

        Args:
            places: where headers are expected, ascending.
            threads: reads at once.
        """
        self._threads = threads
        for place in places:
            start = max(place - _AROUND_BYTES, 0)
            stop = min(place + _AROUND_BYTES, self._size)
            first, last = self._expected[-1] if self._expected else (0, -_FAR_BYTES)
            if self._expected and start - last <= _FAR_BYTES and stop - first <= _MOST_BYTES:
                self._expected[-1] = first, max(stop, last)
            else:
                self._expected.append((start, stop))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        data = self._found(self._at, stop) or self._fetched(self._at, stop)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _found(self, start: int, stop: int) -> bytes:
        for first, data in self._windows:
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        number = bisect_right(self._expected, start, key=lambda span: span[0]) - 1
        if number < 0 or stop > self._expected[number][1]:
            return b""
        first, self._hits = self._expected[number][0], self._hits + 1
        return self._around(number)[start - first : stop - first]

    def _around(self, number: int) -> bytes:
        """What lies about an expected header, read with those that follow."""
        if number not in self._held:
            ahead = spans_ahead(self._expected, number, _AT_ONCE, _AHEAD_BYTES)
            read = in_order(
                lambda one: self._read_range(*self._expected[one]), ahead, self._threads
            )
            self._held = dict(zip(ahead, read, strict=True))
        return self._held[number]

    def _fetched(self, start: int, stop: int) -> bytes:
        if self._expected:
            self._misses += 1
            if self.is_misled:
                self._expected, self._held = [], {}
        last, data = self._windows[-1] if self._windows else (0, b"")
        gap = start - (last + len(data))
        if self._windows and -len(data) <= gap <= max(len(data), _FAR_BYTES):
            self._ahead = min(max(2 * self._ahead, _FIRST_BYTES), _MOST_BYTES)
        elif self._windows:
            self._ahead = min(max(abs(gap) // _SHARE, _LEAST_BYTES), _FAR_AHEAD_BYTES)
        found = self._read_range(start, min(max(start + self._ahead, stop), self._size))
        self._windows = [*self._windows[-1:], (start, found)]
        return found[: stop - start]


def open_archive(uri: str, size: int | None = None) -> BinaryIO:
    """Open an archive of which headers are to be read: of a tar in a store, by ranges.

    Args:
        uri: its address.
        size: of it in bytes, where it is known.

    Raises:
        OSError: it is not there, or no regular file.
    """
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        require_regular(path)
    elif is_store(uri) and not uri.lower().endswith(".zip"):
        if size is None:
            size = int(retrying(lambda: fs.info(path), f"looking at {uri}")["size"])
        return cast(BinaryIO, SparseReader(range_reader(uri), size))
    file: BinaryIO = fs.open(path, "rb", cache_type="readahead")
    return file
