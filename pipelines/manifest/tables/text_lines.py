"""Lines of text files, of any size and packed or not, a block in memory at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from uniaudio2.errors import BadRow

MAX_LINE_CHARACTERS = 64 << 20
_BLOCK_BYTES = 256 << 10
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LongLine:
    """Stands for a line that was not kept, and how many characters it had."""

    characters: int


@dataclass
class CharacterCount:
    """Counts the characters that a reader has taken in."""

    characters: int = 0


@dataclass(frozen=True)
class TextFile:
    """A file of text that can be read more than once.

    Attributes:
        open: opens its bytes.
        max_bytes: most that it may unpack to.
        name: of the file, for messages.
        is_packed: it is gzip.
    """

    open: Callable[[], AbstractContextManager[BinaryIO]]
    max_bytes: int
    name: str = ""
    is_packed: bool = False

    @staticmethod
    def of(data: bytes) -> TextFile:
        """A file that is in memory."""
        return TextFile(lambda: nullcontext(io.BytesIO(data)), len(data))

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, unpacked.

        Raises:
            BadRow: it is damaged, or unpacks to more than `max_bytes`.
        """
        with self.open() as file:
            unpacked = gzip.GzipFile(fileobj=file) if self.is_packed else file
            total = 0
            while block := self._next(unpacked):
                total += len(block)
                if total > self.max_bytes:
                    raise BadRow(
                        "bad_manifest_row",
                        f"{self.name}: unpacks to more than {self.max_bytes} bytes; "
                        "keep a larger manifest as Parquet",
                    )
                yield block

    def _next(self, file: BinaryIO | gzip.GzipFile) -> bytes:
        try:
            return file.read(_BLOCK_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
            # the library's own words may quote the file
            how = "it is cut short" if isinstance(fault, EOFError) else "it is damaged or none"
            raise BadRow(
                "unreadable_file", f"{self.name}: gzip: {how}; fetch the file again"
            ) from fault

    def lines(
        self, meter: CharacterCount | None = None, skip: Callable[[int], None] | None = None
    ) -> Iterator[str | LongLine]:
        """Its lines with their ends, which are \\n, \\r\\n or \\r and no other.

        Bytes that are no text stay visible as lone surrogates.

        Args:
            meter: counts what was taken in.
            skip: told how many empty lines are left out where there are thousands in a row; None
                gives every line.
        """
        meter = meter or CharacterCount()
        carry, parts, length = "", [""], 0
        for text in itertools.chain(_decoded(self.blocks()), [None]):
            meter.characters += len(text or "")
            whole = carry + (text or "")
            carry = ""
            if text is not None and whole.endswith("\r"):  # perhaps half of an end
                whole, carry = whole[:-1], "\r"
            if skip and not length and not whole.strip("\n"):
                skip(len(whole))
                continue
            for line in io.StringIO(whole, newline=""):
                if not length and line.endswith(("\n", "\r")):
                    yield line
                    continue
                length += len(line)
                parts = [*parts, line] if length <= MAX_LINE_CHARACTERS else [""]
                if line.endswith(("\n", "\r")):
                    yield "".join(parts) if length <= MAX_LINE_CHARACTERS else LongLine(length)
                    parts, length = [""], 0
        if length:
            yield "".join(parts) if length <= MAX_LINE_CHARACTERS else LongLine(length)


def _decoded(blocks: Iterator[bytes]) -> Iterator[str]:
    first = next(blocks, b"")
    if first.startswith(_UTF16_MARKS):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
    else:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    yield decoder.decode(first)
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode(b"", True)
