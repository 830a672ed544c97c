"""Ranges of objects in stores, a request each."""

from __future__ import annotations

from collections.abc import Callable

from actors.storage.file_systems import retrying, split_uri


def range_reader(uri: str) -> Callable[[int, int], bytes]:
    """What reads bytes of an object in a store, from one place to another, in a request."""
    fs, path = split_uri(uri, tries=1)

    def read(start: int, stop: int) -> bytes:
        # always a range: for a whole object s3fs asks for its size first
        return retrying(lambda: bytes(fs.cat_file(path, start=start, end=stop)), f"reading {uri}")

    return read
