"""The headers of Parquet's pages: all of them read, that of a dictionary also written.

Source: PageHeader and what it holds of the Parquet format, in Thrift's compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_DICTIONARY_PAGE = 2
_INTEGER, _STRUCT_AFTER_3 = 0x15, 0x4C
_WITH_VALUES = {5: 2, 7: 2, 8: 4}  # structs of a page's facts, and which field is the encoding
_MOST_DEPTH = 8


@dataclass(frozen=True)
class PageHeader:
    """Of a page of any kind; numbers as the header claims them.

    Attributes:
        is_dictionary: the page holds the values that later pages mean by number.
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

    def swapped(self, unpacked: int, packed: int) -> bytes:
        """The header of another dictionary page with as many values."""
        head = b"".join(_integer(value) for value in (_DICTIONARY_PAGE, unpacked, packed))
        own = _integer(self.values) + _integer(self.encoding)
        return head + bytes([_STRUCT_AFTER_3]) + own + b"\0\0"


def read_page(data: bytes) -> PageHeader:
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
    return PageHeader(kind == _DICTIONARY_PAGE, unpacked, packed, values, encoding, reader.at)


def read_dictionary_page(data: bytes) -> PageHeader | None:
    """The header that a chunk begins with; None where its first page is no dictionary."""
    try:
        header = read_page(data)
    except ValueError:
        return None
    return header if header.is_dictionary else None


def _integer(value: int) -> bytes:
    """A field of type i32 that follows the last one."""
    value <<= 1
    out = bytearray([_INTEGER])
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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
            found[number] = None if kind in (1, 2) else self._value(kind, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 12:
            return self.struct(depth)
        if kind == 8:
            self._skip(self._varint())
        elif kind in (1, 2, 3):
            self._skip(1)
        elif kind == 7:
            self._skip(8)
        elif kind in (9, 10):
            self._list(depth)
        else:
            raise ValueError("a page header has an unknown field")
        return None

    def _list(self, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise ValueError("lists are nested too deep")
        head = self._byte()
        for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
            self._value(head & 15, depth + 1)

    def _skip(self, size: int) -> None:
        """Move on; beyond the end there is nothing, however long a list claims to be."""
        self.at += size
        if self.at > len(self._data):
            raise IndexError

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
