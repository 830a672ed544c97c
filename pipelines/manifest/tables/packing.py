"""Files that are packed one by one: gzip, bzip2, xz and zstandard, unpacked a block at a time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

PACKINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
"""How files are packed, by the suffix behind the one of their kind: ``.csv.gz``."""
UNPACKERS = {".gz": "gunzip -k", ".bz2": "bunzip2 -k", ".xz": "unxz -k", ".zst": "unzstd"}
BLOCK_BYTES = 256 << 10
_XZ_MEMORY_BYTES = 256 << 20  # a hostile file may ask for 4 GiB; `xz -9` makes ones of 65 MiB
_NOT_OF_STORAGE = ("ZSTD decompress failed", "Truncated compressed stream", "zstd init failed")


class UnpackError(Exception):
    """What is wrong with a packed file, in words that hold nothing of it."""


def packing_of(name: str) -> str:
    """The suffix of how a file is packed, by its name: ``.gz``; "" where it is not."""
    suffix = posixpath.splitext(name.lower())[1]
    return suffix if suffix in PACKINGS else ""


def without_packing(name: str) -> str:
    """A name without the suffix of how the file is packed."""
    packing = packing_of(name)
    return name[: -len(packing)] if packing else name


def unpacked(file: BinaryIO, packing: str) -> Iterator[bytes]:
    """The bytes of a file, a block at a time however well they are packed.

    Args:
        file: at its beginning.
        packing: its suffix, one of `PACKINGS`; "" gives the file as it is.

    Raises:
        UnpackError: it is damaged, cut short or not packed so.
        OSError: storage did not answer.
    """
    name = PACKINGS.get(packing, "")
    try:
        if packing in (".bz2", ".xz"):
            yield from _of_streams(file, packing)
            return
        source = _opened(file, packing)
        while block := source.read(BLOCK_BYTES):
            yield block
    except EOFError as fault:
        raise UnpackError(f"{name}: it is cut short; fetch the file again") from fault
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as fault:
        raise UnpackError(f"{name}: it is damaged or none; fetch the file again") from fault
    except OSError as fault:  # of pyarrow, whose words may be about the file or its storage
        if packing != ".zst" or not str(fault).startswith(_NOT_OF_STORAGE):
            raise
        how = "cut short" if str(fault).startswith("Truncated") else "damaged or none"
        raise UnpackError(f"{name}: it is {how}; fetch the file again") from fault


def _opened(file: BinaryIO, packing: str) -> BinaryIO | gzip.GzipFile | pa.NativeFile:
    if packing == ".gz":
        return gzip.GzipFile(fileobj=file)
    if packing == ".zst":
        return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
    return file


def _of_streams(file: BinaryIO, packing: str) -> Iterator[bytes]:
    """A file of one or more streams, as `cat a.xz b.xz` and parallel packers make them."""
    data = b""
    while data := data.lstrip(b"\0") or file.read(BLOCK_BYTES):  # zeros may fill up xz
        if not data.strip(b"\0"):
            data = b""
            continue
        stream = (
            bz2.BZ2Decompressor()
            if packing == ".bz2"
            else lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
        )
        while not stream.eof:
            try:
                block = stream.decompress(data, BLOCK_BYTES)
            except OSError as fault:  # of bz2: nothing is read here
                raise lzma.LZMAError from fault
            if block:
                yield block
            data = file.read(BLOCK_BYTES) if stream.needs_input and not stream.eof else b""
            if stream.needs_input and not data and not stream.eof:
                raise EOFError
        data = stream.unused_data
