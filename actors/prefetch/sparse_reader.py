"""An archive in a store whose headers are read and whose members are passed over.

Where members are small, what lies between two headers is read with them: a request takes what
megabytes take. Where they are large, a request fetches a header and little more.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from actors.prefetch.ranges import range_reader
from actors.storage.addresses import is_store
from actors.storage.fetch import require_regular
from actors.storage.file_systems import retrying, split_uri

_FIRST_BYTES = 64 << 10
_LEAST_BYTES, _MOST_BYTES = 8 << 10, 4 << 20
_FAR_BYTES = 256 << 10  # passing over less is no gain
_FAR_AHEAD_BYTES = 16 << 10
_SHARE = 64  # of what is passed over, so much is read behind it
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
        return b""

    def _fetched(self, start: int, stop: int) -> bytes:
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
