"""Page headers: as pyarrow writes them, and as nobody does."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.columnar.thrift import read_dictionary_page, read_page

_HUGE = b"\xff" * 8 + b"\x3f"  # a varint of 62 bits


def written(checksums: bool = False) -> tuple[bytes, int, int]:
    """A file of one column with a dictionary, and where its two pages begin."""
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"text": ["a", "bb", "a"] * 9}), sink, write_page_checksum=checksums,
        compression="NONE",
    )  # fmt: skip
    chunk = pq.ParquetFile(sink).metadata.row_group(0).column(0)
    return sink.getvalue(), chunk.dictionary_page_offset, chunk.data_page_offset


@pytest.mark.parametrize("checksums", [False, True])
def test_headers_are_what_the_writer_wrote(checksums: bool) -> None:
    data, shared, first = written(checksums)
    dictionary, page = read_page(data[shared:]), read_page(data[first:])
    assert read_dictionary_page(data[shared:]) == dictionary
    assert (dictionary.is_dictionary, dictionary.values) == (True, 2)
    assert dictionary.unpacked == dictionary.packed == 4 + 1 + 4 + 2
    assert shared + dictionary.length + dictionary.packed == first
    assert (page.is_dictionary, page.values) == (False, 27)
    assert read_dictionary_page(data[first:]) is None


def test_another_dictionary_takes_the_place_of_one() -> None:
    data, shared, _ = written(checksums=True)
    header = read_page(data[shared:])
    other = read_page(header.swapped(1000, 300))
    assert (other.is_dictionary, other.unpacked, other.packed) == (True, 1000, 300)
    assert (other.values, other.encoding) == (header.values, header.encoding)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x15\x04\x15\x10\x15\x10",
        b"\x1c" * 40,
        b"\x19\x99" + b"\x19" * 5000,
        b"\x18" + _HUGE,
        b"\x19\xf3" + _HUGE,
        b"\x19\xf7" + _HUGE,
        b"\x1e\x00",
        b"\x15\x05\x15\x10\x15\x10\x00",
    ],
    ids=["empty", "cut", "no end", "structs", "lists", "long text", "bytes", "numbers", "field",
         "negative"],
)  # fmt: skip
def test_what_is_no_header_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"page|nested"):
        read_page(data)
    assert read_dictionary_page(data) is None
