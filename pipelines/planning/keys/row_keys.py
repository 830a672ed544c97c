"""What makes a row the same one from run to run: its id, its columns, and the file that it names.

A key has 20 bytes: eight of a hash of the id, eight of one of the columns, four of the size and
time of the files that the row names. Four zeros there mean that nothing was looked at, and agree
with whatever is found another time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.batch.unit import KEY_BYTES as KEY_BYTES

NO_STAMP = bytes(4)
KeyArray = npt.NDArray[np.void]
_KEY = np.dtype([("id", ">u8"), ("columns", ">u8"), ("files", ">u4")])


def id_digest(name: str) -> bytes:
    """Eight bytes that stand for an id."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def row_key(name: str, content: str, stamp: bytes = NO_STAMP) -> bytes:
    """The key of a row.

    Args:
        name: its id.
        content: hash of its columns.
        stamp: of the files that it names, four bytes.
    """
    return id_digest(name) + hashlib.blake2b(content.encode(), digest_size=8).digest() + stamp


def row_keys(
    names: Sequence[str], contents: Sequence[bytes], base: str, stamps: Sequence[bytes]
) -> KeyArray:
    """The keys of rows, ``[N]``, as `row_key` makes each.

    Args:
        names: their ids, ``[N]``.
        contents: hashes of their columns, as bytes, ``[N]``.
        base: the folder that their paths start in, where it is not the manifest's own.
        stamps: of the files that they name, ``[N]``.
    """
    blake2b = hashlib.blake2b
    columns = [
        blake2b((content.hex() + base).encode(), digest_size=8).digest() for content in contents
    ]
    keys = np.empty(len(names), _KEY)
    keys["id"] = id_numbers(names)
    keys["columns"] = np.frombuffer(b"".join(columns), ">u8")
    keys["files"] = np.frombuffer(b"".join(stamps), ">u4")
    return keys


def id_numbers(names: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The digests of ids as numbers, ``[N]``."""
    blake2b = hashlib.blake2b
    digests = [
        blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names
    ]
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def file_stamp(*facts: Any) -> bytes:
    """Four bytes that stand for what is known of a file; never those that stand for nothing."""
    stamp = hashlib.blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return stamp if stamp != NO_STAMP else b"\x00\x00\x00\x01"


def key_array(keys: Iterable[bytes]) -> KeyArray:
    """Keys, each of one row or of several one behind the other, as an array of records ``[N]``."""
    return np.frombuffer(b"".join(keys), dtype=_KEY)


def ids_of(keys: bytes) -> frozenset[int]:
    """What stands in keys for the ids of their rows, see `id_number`."""
    return frozenset(key_array([keys])["id"].tolist())


def id_number(name: str) -> int:
    """`id_digest` as a number."""
    return int.from_bytes(id_digest(name), "big")


def is_among(keys: bytes, others: bytes) -> npt.NDArray[np.bool_]:
    """Whether each of some keys has the id of one of the others, ``[N]``."""
    of, among = (key_array([some])["id"].astype(np.uint64) for some in (keys, others))
    return np.isin(of, among)


def with_fresh(keys: bytes, fresh: bytes) -> bytes:
    """Keys in their order, with fresh ones in the place of those that have their ids."""
    mixed, new = key_array([keys]).copy(), key_array([fresh])
    if len(new):
        order = np.argsort(new["id"], kind="stable")
        at = np.minimum(np.searchsorted(new["id"][order], mixed["id"]), len(new) - 1)
        found = new[order[at]]
        is_fresh = found["id"] == mixed["id"]
        mixed[is_fresh] = found[is_fresh]
    data: bytes = mixed.tobytes()
    return data
