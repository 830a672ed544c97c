"""The header of a Parquet dictionary page, read and written.

Source: PageHeader and DictionaryPageHeader of the Parquet format in Thrift's compact protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

_DICTIONARY_PAGE = 2
_INTEGER, _STRUCT_AFTER_3, _STRUCT_AFTER_4 = 0x15, 0x4C, 0x3C
_BOOLEANS = (0x11, 0x12)


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
