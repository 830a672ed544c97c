"""Lines of text files, of any size and packed or not, a block in memory at a time."""

from __future__ import annotations

import codecs
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from pipelines.manifest.tables.packing import UnpackError, unpacked
from uniaudio2.audio.sniff import POINTER, is_pointer
from uniaudio2.errors import BadRow

MAX_LINE_CHARACTERS = 64 << 20
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_FEWEST_BYTES, _LOOKED_AT_BYTES = 16, 256  # for text whose every second byte is zero
_MOSTLY, _RARELY = 0.7, 0.1
_UNDECODED = "uniaudio2-undecoded"


def _undecoded(fault: UnicodeError) -> tuple[str, int]:
    """Lone surrogates for bytes that are no text, as ``surrogateescape`` for any encoding."""
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    wrong = fault.object[fault.start : fault.end]
    return "".join(chr(0xDC00 + byte) for byte in wrong), fault.end


codecs.register_error(_UNDECODED, _undecoded)


@dataclass(frozen=True)
class LongLine:
    """Stands for a line that was not kept, and how many characters it had."""

    characters: int


@dataclass
class CharacterCount:
    """Counts the characters that a reader has taken in, and knows how they were encoded."""

    characters: int = 0
    encoding: str = ""


@dataclass(frozen=True)
class TextFile:
    """A file of text that can be read more than once.

    Attributes:
        open: opens its bytes.
        max_bytes: most that it may unpack to.
        name: of the file, for messages.
        packing: how it is packed, see `packing_of`.
        encoding: of its text; None is UTF-8, or what its first bytes say.
    """

    open: Callable[[], AbstractContextManager[BinaryIO]]
    max_bytes: int
    name: str = ""
    packing: str = ""
    encoding: str | None = None

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
            total = 0
            for block in self._unpacked(file):
                if not total and is_pointer(block):
                    raise BadRow("unreadable_file", f"{self.name} is {POINTER}")
                total += len(block)
                if total > self.max_bytes:
                    raise BadRow(
                        "bad_manifest_row",
                        f"{self.name}: unpacks to more than {self.max_bytes} bytes; "
                        "keep a larger manifest as Parquet",
                    )
                yield block

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            yield from unpacked(file, self.packing)
        except UnpackError as fault:
            raise BadRow("unreadable_file", f"{self.name}: {fault}") from fault

    def texts(self, meter: CharacterCount | None = None) -> Iterator[str]:
        """Its text, a block at a time.

        Bytes that are no text stay visible as lone surrogates.

        Args:
            meter: told what was taken in.
        """
        meter = meter or CharacterCount()
        blocks = self.blocks()
        first = next(blocks, b"")
        encoding = self.encoding or encoding_of(first)
        errors = "surrogateescape" if encoding.startswith("utf-8") else _UNDECODED
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        meter.encoding = encoding
        for block in itertools.chain([first], blocks):
            text = decoder.decode(block)
            meter.characters += len(text)
            yield text
        yield decoder.decode(b"", True)

    def lines(
        self,
        meter: CharacterCount | None = None,
        skip: Callable[[int], None] | None = None,
        texts: Iterator[str] | None = None,
    ) -> Iterator[str | LongLine]:
        """Its lines with their ends, which are \\n, \\r\\n or \\r and no other.

        Bytes that are no text stay visible as lone surrogates.

        Args:
            meter: told what was taken in.
            skip: told how many empty lines are left out where there are thousands in a row; None
                gives every line.
            texts: its blocks, where they are being read already.
        """
        carry, parts, length = "", [""], 0
        for text in itertools.chain(texts or self.texts(meter), [None]):
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


def text_file(data: TextFile | bytes) -> TextFile:
    """A file, or one that is in memory."""
    return TextFile.of(data) if isinstance(data, bytes) else data


def lines_of(
    file: TextFile, meter: CharacterCount | None = None, texts: Iterator[str] | None = None
) -> Iterator[tuple[int, str | LongLine]]:
    """Number and text of every line that is not blank; see `TextFile.lines`."""
    skipped = 0

    def skip(lines: int) -> None:
        nonlocal skipped
        skipped += lines

    for number, line in enumerate(file.lines(meter, skip, texts), 1):
        if isinstance(line, LongLine):
            yield number + skipped, line
        elif line.strip():
            yield number + skipped, line.rstrip("\r\n")


def long_line_message(line: LongLine) -> str:
    """The fault of a line that was too long to keep."""
    return f"a line of {line.characters} characters; shorten it"


def encoding_of(start: bytes) -> str:
    """The encoding of a text by its first bytes: a mark, or the zeros of UTF-16; else UTF-8."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    looked_at = start[:_LOOKED_AT_BYTES]
    if len(looked_at) >= _FEWEST_BYTES:
        halves = looked_at[::2], looked_at[1::2]
        zeros = [half.count(0) / len(half) for half in halves]
        for encoding, one, other in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
            if zeros[one] > _MOSTLY and zeros[other] < _RARELY:
                return encoding
    return "utf-8"
