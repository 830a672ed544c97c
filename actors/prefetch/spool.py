"""Bytes that are read now and needed once more soon: kept on the disk, as far as there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass

MOST_BYTES = 1 << 30
_ROOM = 4  # a quarter of what is free


class Spool:
    """A temporary file without a name; it goes with the last of what is kept in it.

    Args:
        most_bytes: more is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as what is kept in it
        self._end = 0
        self._most = min(most_bytes, shutil.disk_usage(tempfile.gettempdir()).free // _ROOM)

    def keep(self, start: int, data: bytes) -> Kept | None:
        """Keep bytes of an object; None where there is no room.

        Args:
            start: of them in the object.
            data: the bytes.
        """
        with self._lock:
            at = self._end
            if at + len(data) > self._most:
                return None
            self._end += len(data)
        try:
            if os.pwrite(self._file.fileno(), data, at) < len(data):
                return None
        except OSError:  # the disk is full
            return None
        return Kept(self, at, len(data), start)

    def read(self, at: int, size: int) -> bytes:
        """Bytes that were kept."""
        return os.pread(self._file.fileno(), size, at)


@dataclass(frozen=True, eq=False)
class Kept:
    """Bytes of an object in a spool.

    Attributes:
        spool: where they are.
        at: their place there.
        size: how many there are.
        start: of them in the object.
    """

    spool: Spool
    at: int
    size: int
    start: int

    def read(self) -> bytes:
        """The bytes."""
        return self.spool.read(self.at, self.size)
