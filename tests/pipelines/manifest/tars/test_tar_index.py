"""Indexes beside tars: used where they tell the truth, and never believed where they do not."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import webdataset

from actors.prefetch import ranges
from actors.storage.object_store import Storage
from pipelines.manifest import tar_sources as sources_of_tars
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tars.tar_index import (
    UnusableIndex,
    found_members,
    parse_index,
    sample_places,
)
from tests.conftest import tone, wav_bytes

Names = list[tuple[str, int]]


def plain_tar(members: Names) -> bytes:
    """A tar of files of some sizes, whose headers are a block each."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, size in members:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(b"{}" if name.endswith(".json") else bytes(size)))
    return sink.getvalue()


def webdataset_tar(count: int, size: int) -> bytes:
    """A tar as `webdataset` writes it, whose headers are three blocks each."""
    sink = io.BytesIO()
    with webdataset.TarWriter(sink) as writer:
        for number in range(count):
            sound = random.Random(number).randbytes(size)
            writer.write({"__key__": f"{number:04d}", "wav": sound, "txt": f"text {number}"})
    return sink.getvalue()


def index_of(data: bytes, folder: Path, is_old: bool = False) -> bytes:
    """The index that `wds2idx` makes of a tar: places as GNU tar counts its blocks.

    An offset is that of the block behind the member's header, as DALI 2.4.0 has it; versions before
    took that of the block before the next member's own header, less the padded size.
    """
    path = folder / "of.tar"
    path.write_bytes(data)
    listed = subprocess.run(
        ["tar", "--list", "--block-num", "--file", str(path)],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    blocks = [int(line.removeprefix("block ").partition(":")[0]) for line in listed]
    lines: list[list[str]] = []
    last = ""
    with tarfile.open(path) as tar:
        for place, member in enumerate(tar):
            if not member.isfile():
                continue
            offset = (blocks[place] + 1) * 512
            if is_old:
                offset = blocks[place + 1] * 512 - member.size
            stem, _, ending = member.name.partition(".")
            if stem != last:
                lines.append([])
            lines[-1].append(f"{ending} {offset - offset % 512} {member.size} {member.name}")
            last = stem
    return "\n".join([f"v1.2 {len(lines)}", *map(" ".join, lines), ""]).encode()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each request for a part of a tar reads."""
    sizes: list[int] = []
    make = ranges.range_reader

    def counting(uri: str) -> Callable[[int, int], bytes]:
        read = make(uri)

        def counted(start: int, stop: int) -> bytes:
            sizes.append(stop - start)
            return read(start, stop)

        return counted

    monkeypatch.setattr(sources_of_tars, "range_reader", counting)
    monkeypatch.setattr("actors.prefetch.sparse_reader.range_reader", counting)
    return sizes


def rows_of(uri: str, scan: Scan | None = None) -> pa.Table:
    (source,) = find_sources(uri, scan)
    assert source.table is not None
    return source.table


def test_rows_are_those_of_the_headers_and_few_bytes_are_read(
    bucket: str, tmp_path: Path, asked: list[int]
) -> None:
    """Of a tar whose index lies beside it in a store, by its folder and by its own name."""
    data = webdataset_tar(24, 300_000)
    store = Storage(bucket)
    store.put("d/a.tar", data)
    by_headers = rows_of(f"{bucket}/d/a.tar")
    without = asked.copy()
    for name, uri in (("a.idx", f"{bucket}/d/a.tar"), ("a.tar.idx", f"{bucket}/d")):
        store.delete("d/a.idx")
        store.put(f"d/{name}", index_of(data, tmp_path))
        asked.clear()
        scan = Scan()
        assert rows_of(uri, scan) == by_headers
        assert not scan.noticed.left_out
        assert sum(asked) < sum(without) / 3


def test_members_without_texts_are_told_by_some_headers(
    bucket: str, tmp_path: Path, asked: list[int]
) -> None:
    data = plain_tar([(f"{number}.flac", 400_000) for number in range(50)])
    Storage(bucket).put("a.tar", data)
    Storage(bucket).put("a.idx", index_of(data, tmp_path))
    assert rows_of(f"{bucket}/a.tar").num_rows == 50
    assert len(asked) <= 12 and sum(asked) < 0.01 * len(data)


def damaged(index: bytes, how: str) -> bytes:
    lines = index.decode().split("\n")
    if how == "cut":
        return index[: len(index) // 2]
    if how == "of v1.1":
        return index.replace(b"v1.2", b"v1.1")
    if how == "binary":
        return bytes(64)
    if how == "less":
        return "\n".join(["v1.2 5", *lines[1:6], ""]).encode()
    if how == "without one":
        return "\n".join(["v1.2 11", *lines[1:5], *lines[6:]]).encode()
    if how == "spaces":
        return index.replace(b"0.wav", b"0 .wav")
    if how == "other names":
        return index.replace(b"0011", b"0111")
    if how == "huge":
        return index.replace(b" 2000 ", b" 99999999999999999999999 ")
    return how.encode()


HOWS = [
    "cut", "of v1.1", "binary", "less", "without one", "spaces", "other names", "huge", "", "\n",
    "v1.2 0\n", "v1.2 -1\nwav 512 10 a.wav\n", "v1.2 1\nwav -512 10 a.wav\n",
    "v1.2 1\nwav 512 -9 a.wav\n", "v1.2 1\nwav 512 0 a.wav wav 512 0 b.wav\n",
]  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_a_wrong_index_is_said_and_headers_are_read(how: str, tmp_path: Path) -> None:
    data = webdataset_tar(12, 2000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(data)
    by_headers = rows_of(f"{tmp_path}/in")
    (tmp_path / "in" / "a.idx").write_bytes(damaged(index_of(data, tmp_path), how))
    scan = Scan()
    assert rows_of(f"{tmp_path}/in", scan) == by_headers
    (left_out,) = scan.noticed.left_out
    assert str(left_out).startswith("1 tar index file left out (1 .idx): they tell no members")


@pytest.mark.parametrize(
    "other",
    [
        webdataset_tar(12, 2048 * 4), webdataset_tar(13, 2000), webdataset_tar(12, 2000) * 2,
        webdataset_tar(12, 2000)[:20_000],
    ],
)  # fmt: skip
def test_an_index_of_another_tar_is_not_believed(other: bytes, tmp_path: Path) -> None:
    index = index_of(webdataset_tar(12, 2000), tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(other)
    by_headers = rows_of(f"{tmp_path}/in/a.tar")
    (tmp_path / "in" / "a.idx").write_bytes(index)
    scan = Scan()
    assert rows_of(f"{tmp_path}/in/a.tar", scan) == by_headers
    assert [one.count for one in scan.noticed.left_out] == [1]


def places_of(data: bytes, end: int | None = None) -> bytes:
    """Where samples begin, and where the tar ends, as Lhotse, NeMo and Megatron-Energon have it."""
    places: list[int] = []
    last = ""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            key = member.name.partition(".")[0]
            places += [member.offset] if key != last else []
            last = key
    return np.array([*places, len(data) if end is None else end], "<u8").tobytes()


@pytest.mark.parametrize("is_right", [True, False])
def test_headers_are_read_many_at_once_where_samples_are_said_to_begin(
    is_right: bool, bucket: str, asked: list[int]
) -> None:
    members = [(f"{number}.{kind}", size) for number in range(40)
               for kind, size in (("json", 2), ("wav", 300_000))]  # fmt: skip
    data = plain_tar(members)
    store = Storage(bucket)
    store.put("d/a.tar", data)
    by_headers = rows_of(f"{bucket}/d")
    without = asked.copy()
    larger = [(name, size * 4 // 3 if size > 2 else size) for name, size in members[:50]]
    other = data if is_right else plain_tar(larger)
    store.put("d/a.tar.idx", places_of(other))
    asked.clear()
    scan = Scan()
    assert rows_of(f"{bucket}/d", scan) == by_headers
    assert [one.count for one in scan.noticed.left_out] == ([] if is_right else [1])
    if is_right:
        assert len(asked) <= 42 and sum(asked) < 0.05 * len(data)
    else:
        assert sum(asked) < 1.6 * sum(without)


@pytest.mark.parametrize("harm", [b"", b"1234567", bytes(24), bytes(range(16))])
def test_what_are_no_places_of_samples_are_none(harm: bytes) -> None:
    assert sample_places(harm, 10_240) == []
    data = plain_tar([("a.wav", 10), ("b.wav", 10)])
    assert sample_places(places_of(data), len(data)) == [0, 1024]
    assert sample_places(places_of(data, len(data) + 1), len(data)) == []


def test_many_indexes_that_are_not_used_are_said_once(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.tar").write_bytes(webdataset_tar(2, 100))
        (tmp_path / f"{number}.idx").write_bytes(b"v1.2 9\n")
    scan = Scan()
    assert len(find_sources(f"{tmp_path}/*.tar", scan)) == 10
    assert [one.count for one in scan.noticed.left_out] == [10]


@pytest.mark.parametrize("is_old", [False, True])
def test_folders_and_long_names_are_no_hindrance(is_old: bool, tmp_path: Path) -> None:
    """Of a name that takes blocks of its own, DALI 2.4.0 tells where the name lies."""
    folder = tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    names = ["x/a.wav", f"x/{'long' * 30}.wav", "x/c.wav"]
    with tarfile.open(folder / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder / "x", "x")
        for name in names:
            info = tarfile.TarInfo(name)
            sound = wav_bytes(tone(0.1))
            info.size = len(sound)
            tar.addfile(info, io.BytesIO(sound))
    by_headers = rows_of(f"{folder}/a.tar")
    data = (folder / "a.tar").read_bytes()
    (folder / "a.idx").write_bytes(index_of(data, tmp_path, is_old))
    scan = Scan()
    assert rows_of(f"{folder}/a.tar", scan) == by_headers
    assert by_headers.num_rows == 3 and [one.count for one in scan.noticed.left_out] == [1][is_old:]


@pytest.mark.parametrize("is_old", [False, True])
def test_places_are_found_whichever_version_told_them(is_old: bool, tmp_path: Path) -> None:
    data = webdataset_tar(30, 3000)

    def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    members = parse_index(index_of(data, tmp_path, is_old), len(data))
    found = found_members(members, len(data), read)
    assert (found == members) != is_old
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(one.name, one.offset, one.size) for one in found] == [
            (one.name, one.offset_data, one.size) for one in tar
        ]


@pytest.mark.parametrize("dropped", [{7}, {3, 4}, set(range(0, 30, 2))])
def test_small_members_that_an_index_leaves_out_are_found(dropped: set[int]) -> None:
    """Where a text is too small to leave a gap that no header could fill."""
    names = [f"{number:02d}.{kind}" for number in range(15) for kind in ("txt", "wav")]
    data = plain_tar([(name, 100) for name in names])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(one.offset_data, one.size, one.name) for one in tar]
    kept = [one for place, one in enumerate(members) if place not in dropped]

    def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    for some, is_whole in ((members, True), (kept, False)):
        lines = [f"{name[-3:]} {offset} {size} {name}" for offset, size, name in some]
        told = parse_index("\n".join([f"v1.2 {len(lines)}", *lines]).encode(), len(data))
        if is_whole:
            assert [one.name for one in found_members(told, len(data), read)] == names
        else:
            with pytest.raises(UnusableIndex):
                found_members(told, len(data), read)


def test_sparse_members_are_left_to_the_headers(tmp_path: Path) -> None:
    path = tmp_path / "hole.wav"
    with path.open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    subprocess.run(["tar", "--sparse", "-cf", "a.tar", "hole.wav"], cwd=tmp_path, check=True)
    data = (tmp_path / "a.tar").read_bytes()

    def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    for offset in range(512, 2048, 512):
        members = parse_index(
            f"v1.2 1\nwav {offset} {(1 << 20) + 3} hole.wav\n".encode(), len(data)
        )
        with pytest.raises(UnusableIndex):
            found_members(members, len(data), read)


def test_an_index_of_more_members_than_blocks_is_not_taken_apart() -> None:
    lines = ["wav 512 0 a.wav"] * 100_000
    with pytest.raises(UnusableIndex):
        parse_index("\n".join([f"v1.2 {len(lines)}", *lines]).encode(), 10_240)


def test_an_index_that_may_not_be_followed_is_not_read(tmp_path: Path) -> None:
    """A link out of INPUT, where such are refused: whatever it leads to is left alone."""
    data = webdataset_tar(6, 1000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tar").write_bytes(data)
    (tmp_path / "elsewhere.idx").write_bytes(b"v1.2 nonsense\n")
    by_headers = rows_of(f"{tmp_path}/in/a.tar")
    (tmp_path / "in" / "a.idx").symlink_to(tmp_path / "elsewhere.idx")
    for uri in (f"{tmp_path}/in/a.tar", f"{tmp_path}/in/*.tar", f"{tmp_path}/in"):
        scan = Scan(links="refuse")
        assert rows_of(uri, scan) == by_headers
        assert "tar index files" not in [one.what for one in scan.noticed.left_out]
