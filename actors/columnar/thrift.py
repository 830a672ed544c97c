"""The headers of Parquet's pages: all of them read, that of a dictionary also written.

Source: PageHeader and what it holds of the Parquet format, in Thrift's compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_DICTIONARY_PAGE = 2
_INTEGER, _STRUCT_AFTER_3, _STRUCT_AFTER_4 = 0x15, 0x4C, 0x3C
_BOOLEANS = (0x11, 0x12)
_WITH_VALUES = {5: 2, 7: 2, 8: 4}  # structs of a page's facts, and which field is the encoding
_MOST_DEPTH = 8


@dataclass(frozen=True)
class PageHeader:
    """Of a dictionary page.

    Attributes:
        unpacked: bytes of the page as it is read.
        packed: its bytes in the file.
        values: how many it has.
        encoding: of the values, by Parquet's number.
        length: bytes of the header itself.
    """

    unpacked: int
    packed: int
    values: int
    encoding: int
    length: int

    def swapped(self, unpacked: int, packed: int) -> bytes:
        """The header of another page with as many values."""
        head = b"".join(_integer(value) for value in (_DICTIONARY_PAGE, unpacked, packed))
        own = _integer(self.values) + _integer(self.encoding)
        return head + bytes([_STRUCT_AFTER_3]) + own + b"\0\0"


def page_header(data: bytes) -> PageHeader | None:
    """The header that a chunk begins with; None where its first page is no dictionary."""
    at = 0

    def integer() -> int:
        nonlocal at
        if data[at] != _INTEGER:
            raise ValueError
        at += 1
        value = shift = 0
        while shift < 64:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        return (value >> 1) ^ -(value & 1)

    try:
        if integer() != _DICTIONARY_PAGE:
            return None
        unpacked, packed = integer(), integer()
        begins = _STRUCT_AFTER_3
        if data[at] == _INTEGER:
            integer()  # a check sum
            begins = _STRUCT_AFTER_4
        if data[at] != begins:
            return None
        at += 1
        values, encoding = integer(), integer()
        at += data[at] in _BOOLEANS  # whether it is sorted
        if data[at : at + 2] != b"\0\0" or min(unpacked, packed, values) < 0:
            return None
    except (ValueError, IndexError):
        return None
    return PageHeader(unpacked, packed, values, encoding, at + 2)


def _integer(value: int) -> bytes:
    """A field of type i32 that follows the last one."""
    value <<= 1
    out = bytearray([_INTEGER])
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class Page:
    """Of a page of any kind; numbers as its header claims them.

    Attributes:
        is_dictionary: it holds the values that later pages mean by number.
        unpacked: bytes of the page as it is read.
        packed: its bytes in the file.
        values: how many it has.
        encoding: of the values, by Parquet's number.
        length: bytes of the header itself.
    """

    is_dictionary: bool
    unpacked: int
    packed: int
    values: int
    encoding: int
    length: int


def read_page(data: bytes) -> Page:
    """The header that some bytes begin with.

    Raises:
        ValueError: they begin with none, or it does not end in them.
    """
    reader = _Compact(data)
    try:
        facts = reader.struct()
    except IndexError:
        raise ValueError("a page's header does not end") from None
    own = next((number for number in _WITH_VALUES if isinstance(facts.get(number), dict)), None)
    inner = facts[own] if own else {}
    given = [facts.get(1), facts.get(2), facts.get(3)]
    given += [inner.get(1, 0), inner.get(_WITH_VALUES.get(own or 0, 0), 0)]
    numbers = [number for number in given if isinstance(number, int) and number >= 0]
    if len(numbers) < len(given):
        raise ValueError("a page's header lacks its sizes")
    kind, unpacked, packed, values, encoding = numbers
    return Page(kind == _DICTIONARY_PAGE, unpacked, packed, values, encoding, reader.at)


class _Compact:
    """Reads Thrift's compact protocol; IndexError at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields by number: integers and structs, None for what is skipped."""
        if depth > _MOST_DEPTH:
            raise ValueError("structs are nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[number] = None if kind in (1, 2) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 12:
            return self.struct(depth + 1)
        if kind == 8:
            length = self._varint()  # moves `at` too
            self.at += length
        elif kind in (1, 2, 3):
            self.at += 1
        elif kind == 7:
            self.at += 8
        elif kind in (9, 10):
            head = self._byte()
            for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
                self._value(head & 15, depth + 1)
        else:
            raise ValueError("a page header has an unknown field")
        return None

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise ValueError("a number that does not end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
