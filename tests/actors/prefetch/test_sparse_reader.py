"""Headers of large members are read without the members, those of small ones many at once."""

from __future__ import annotations

import io
import tarfile

import pytest

from actors.prefetch.sparse_reader import SparseReader
from pipelines.manifest.tars.webdataset import read_tar


class Counted:
    """A tar in a store: how often and how much of it was read."""

    def __init__(self, sizes: list[int]) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            for number, size in enumerate(sizes):
                members = {"json": b'{"text": "a"}', "wav": bytes(size)}
                for kind, data in members.items():
                    info = tarfile.TarInfo(f"{number}.{kind}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        self.data = file.getvalue()
        self.asked: list[int] = []

    def read(self, start: int, stop: int) -> bytes:
        self.asked.append(stop - start)
        return self.data[start:stop]

    def open(self) -> SparseReader:
        return SparseReader(self.read, len(self.data))


@pytest.mark.parametrize(
    ("size", "count", "most_share", "most_requests"),
    [(1 << 20, 100, 0.02, 101), (4 << 20, 20, 0.005, 21), (16_000, 2000, 1.01, 20),
     (200_000, 200, 1.01, 30)],
)  # fmt: skip
def test_no_more_is_read_than_headers_take(
    size: int, count: int, most_share: float, most_requests: int
) -> None:
    """A 2 GB tar with members of 1 MB: at most 2 % of its bytes, a request a member."""
    tar = Counted([size] * count)
    rows = read_tar(tar.open(), "s3://b/a.tar")
    assert rows == read_tar(io.BytesIO(tar.data), "s3://b/a.tar")
    assert rows.num_rows == count
    first = 64 << 10  # which a reader begins with
    assert sum(tar.asked) <= most_share * len(tar.data) + first
    assert len(tar.asked) <= most_requests


def test_sizes_that_change_are_followed() -> None:
    tar = Counted([*[1000] * 500, *[2 << 20] * 20, *[1000] * 500, 3 << 20])
    assert read_tar(tar.open(), "s3://b/a.tar").num_rows == 1021
    assert len(tar.asked) < 60
    assert sum(tar.asked) < 0.3 * len(tar.data)


def test_it_is_a_file() -> None:
    data = bytes(range(256)) * 4000
    reader = SparseReader(lambda start, stop: data[start:stop], len(data))
    for place, count in ((0, 10), (900_000, 70_000), (899_999, 3), (5, 1), (1_023_990, 99)):
        assert reader.seek(place) == reader.tell() == place
        assert reader.read(count) == data[place : place + count]
    assert reader.seek(0, io.SEEK_END) == len(data)
    assert reader.read(1) == b""


def test_a_fault_of_storage_is_told() -> None:
    def read(start: int, stop: int) -> bytes:
        raise OSError("storage is away")

    with pytest.raises(OSError, match="storage is away"):
        SparseReader(read, 10).read(4)


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_headers_are_read_where_they_are_expected(size: int) -> None:
    tar = Counted([size] * 60)
    with tarfile.open(fileobj=io.BytesIO(tar.data)) as file:
        places = [member.offset for member in file if member.name.endswith("json")]
    expecting = tar.open()
    expecting.expect(places, 4)
    assert read_tar(expecting, "s3://b/a.tar") == read_tar(io.BytesIO(tar.data), "s3://b/a.tar")
    assert not expecting.is_misled
    assert len(tar.asked) <= 62 and max(tar.asked) <= 1 << 20


def test_wrong_places_are_noticed_and_do_no_harm() -> None:
    tar = Counted([2 << 20] * 60)
    expecting = tar.open()
    expecting.expect(range(1 << 20, len(tar.data), 2 << 20), 4)
    assert read_tar(expecting, "s3://b/a.tar") == read_tar(io.BytesIO(tar.data), "s3://b/a.tar")
    assert expecting.is_misled
    assert sum(tar.asked) < 0.02 * len(tar.data) + (1 << 20)
