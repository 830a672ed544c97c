"""Objects of which some bytes are here already: opened by their address, they are read from them.

Reading a Parquet file asks for many small ranges, each a request where the file is in a store. Who
knows which bytes a file will be asked for fetches them in one go and holds them while it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from actors.storage.block_reader import BlockReader

Piece = tuple[int, bytes]


@dataclass(frozen=True)
class HeldObject:
    """An object and the bytes of it that are here.

    Attributes:
        uri: its address.
        size: of the whole of it.
        pieces: where each begins, and its bytes; sorted.
        fetch: reads what is not here, from one place to another.
    """

    uri: str
    size: int
    pieces: Sequence[Piece]
    fetch: Callable[[int, int], bytes]

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the object, those that are here from memory."""
        stop = min(stop, self.size)
        for first, data in self.pieces:
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        return self.fetch(start, stop) if start < stop else b""

    def open(self) -> BinaryIO:
        """The object as a file."""
        if len(self.pieces) == 1 and len(self.pieces[0][1]) == self.size:
            # which Arrow reads from without waiting for Python's other threads
            return cast(BinaryIO, pa.BufferReader(self.pieces[0][1]))
        return cast(BinaryIO, _Reader(self.read, self.size))


class _Reader(BlockReader):
    """A reader whose fault is no end of the file."""

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        if self.fault:
            raise self.fault
        return count


class _Here(threading.local):
    def __init__(self) -> None:
        self.objects: dict[str, HeldObject] = {}


_here = _Here()


@contextmanager
def holding(held: HeldObject) -> Iterator[None]:
    """Read an object from what is here of it, in the block and in this thread."""
    _here.objects[held.uri] = held
    try:
        yield
    finally:
        _here.objects.pop(held.uri, None)


def held_object(uri: str) -> HeldObject | None:
    """What is here of an object; None where nothing is."""
    return _here.objects.get(uri)
