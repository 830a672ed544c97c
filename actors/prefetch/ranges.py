"""Ranges of objects in stores, a request each."""

from __future__ import annotations

from collections.abc import Callable

from actors.storage.block_reader import TimedCalls
from actors.storage.file_systems import retrying, split_uri
from uniaudio2.shown import shown


def range_reader(uri: str) -> Callable[[int, int], bytes]:
    """What reads bytes of an object in a store, from one place to another, in a request."""
    fs, path = split_uri(uri, tries=1)

    def read(start: int, stop: int) -> bytes:
        # always a range: for a whole object s3fs asks for its size first
        return retrying(lambda: bytes(fs.cat_file(path, start=start, end=stop)), f"reading {uri}")

    return read


def timed_range_reader(uri: str, timeout_s: float) -> Callable[[int, int], bytes]:
    """As `range_reader`, in threads and for so long at most, repeated tries included."""
    fs, path = split_uri(uri, tries=1)
    ask = TimedCalls(fs, timeout_s)

    def read(start: int, stop: int) -> bytes:
        return bytes(ask("cat_file", path, f"reading {shown(uri)!r}", start=start, end=stop))

    return read
