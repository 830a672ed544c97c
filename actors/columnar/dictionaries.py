"""Replace values of Parquet dictionaries that are too large, before a reader sees them.

A page of kilobytes may unpack to a quarter of a gigabyte, and a reader holds it several times over.
Such a page is unpacked here block by block: what is too large is hashed and gives way to a token,
and the reader sees a file whose dictionary holds the token in its place.

Source: see `chunk_sizes`.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from actors.columnar.thrift import PageHeader, read_dictionary_page

LARGE_BYTES = 32 << 20
DENSE = 16  # what is packed less than so is of its file's size
_BLOCK_BYTES = 1 << 20
_MOST_PACKED_BYTES = 128 << 20
_STREAMS = {"GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd"}
Large = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class ColumnChunk:
    """A column chunk whose dictionary is to be looked through.

    Attributes:
        offset: its first byte.
        size: its bytes in the file.
        codec: how its pages are packed.
        limit: longest value that stays.
    """

    offset: int
    size: int
    codec: str
    limit: int


def is_oversized(header: PageHeader) -> bool:
    """Tell whether a dictionary takes far more memory than its file."""
    return header.unpacked > LARGE_BYTES and header.packed * DENSE < header.unpacked


def replace_large_values(
    file: BinaryIO, chunks: Sequence[ColumnChunk]
) -> tuple[BinaryIO, dict[bytes, Large]]:
    """Give a file short tokens in the place of dictionary values that are too large.

    Args:
        file: of Parquet, seekable; it is kept and closed with the result.
        chunks: those with an oversized dictionary.

    Returns:
        the file, and by token the size and the hash of what it stands for.
    """
    found: dict[bytes, Large] = {}
    patches = []
    for chunk in chunks:
        patch = _patch(file, chunk, found)
        if patch is not None:
            patches.append((chunk.offset, patch))
    return (cast(BinaryIO, _Patched(file, patches)) if patches else file), found


def _patch(file: BinaryIO, chunk: ColumnChunk, found: dict[bytes, Large]) -> bytes | None:
    """The bytes of a chunk with another dictionary; None where the old one may stay."""
    if chunk.size > _MOST_PACKED_BYTES:
        return None
    file.seek(chunk.offset)
    data = file.read(chunk.size)
    header = read_dictionary_page(data)
    if header is None:
        return None
    packed = data[header.length : header.length + header.packed]
    tokens: dict[bytes, Large] = {}
    try:
        values = _short_values(
            _unpacking(packed, chunk.codec, header.unpacked), chunk.limit, tokens
        )
        if not tokens:
            return None
        codec = _codec(chunk.codec)
        page = pa.compress(values, codec, asbytes=True) if codec else values
    except (pa.ArrowException, OSError, ValueError, struct.error):
        return None  # the reader will say what is wrong with it
    begins = header.swapped(len(values), len(page))
    rest = data[header.length + header.packed :]
    if len(begins) + len(page) + len(rest) > len(data):
        return None
    found.update(tokens)
    return (begins + page + rest).ljust(len(data), b"\0")


def _codec(name: str) -> str | None:
    return None if name == "UNCOMPRESSED" else name.lower()


def _unpacking(packed: bytes, codec: str, size: int) -> Callable[[int], bytes]:
    if codec == "UNCOMPRESSED":
        return io.BytesIO(packed).read
    if codec in _STREAMS:
        stream = pa.CompressedInputStream(pa.BufferReader(packed), _STREAMS[codec])
        return io.BufferedReader(stream, _BLOCK_BYTES).read
    return io.BytesIO(pa.decompress(packed, size, _codec(codec), asbytes=True)).read


def _short_values(read: Callable[[int], bytes], limit: int, tokens: dict[bytes, Large]) -> bytes:
    """The dictionary's page with a token for each value that is too large."""
    values = io.BytesIO()
    while prefix := read(4):
        (length,) = struct.unpack("<I", prefix)
        if length <= limit:
            values.write(prefix + read(length))
            continue
        digest, left = hashlib.blake2b(digest_size=16), length
        while left:
            block = read(min(left, _BLOCK_BYTES))
            if not block:
                raise ValueError("the page ends too early")
            digest.update(block)
            left -= len(block)
        token = secrets.token_hex(16).encode()
        tokens[token] = (length, {"blake2b": digest.hexdigest()})
        values.write(struct.pack("<I", len(token)) + token)
    return values.getvalue()


class _Patched(io.RawIOBase):
    """A file some parts of which are others."""

    def __init__(self, file: BinaryIO, patches: Sequence[tuple[int, bytes]]) -> None:
        self._file, self._patches, self._at = file, patches, 0
        self._size = file.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._at)
        data = bytearray(self._file.read(len(buffer)))
        for start, patch in self._patches:
            first = max(start, self._at)
            last = min(start + len(patch), self._at + len(data))
            if first < last:
                data[first - self._at : last - self._at] = patch[first - start : last - start]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
