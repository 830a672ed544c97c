"""Tars that `webdataset` wrote: rows whose audio is read from inside the tar, alone."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batch.names import FAULT_COLUMN
from actors.inputs.audio import load_wave
from actors.prefetch import sparse_reader
from actors.prefetch.ranges import range_reader
from actors.storage.addresses import AddressPolicy
from actors.storage.object_store import Storage
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tars.webdataset import read_tar
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task


def _tar(keys: list[str], seconds: float = 0.25) -> bytes:
    sink = io.BytesIO()
    with webdataset.TarWriter(sink) as writer:
        for number, key in enumerate(keys):
            sound = wav_bytes(tone(seconds * (number + 1)))
            facts = {"n": number, "id": "other"}
            writer.write({"__key__": key, "wav": sound, "txt": f"text {number}", "json": facts})
    return sink.getvalue()


@pytest.mark.parametrize("where", ["local", "s3"])
def test_samples_are_read_where_they_are(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    Storage(root).put("d/a.tar", _tar(["x/1", "x/2"]))
    Storage(root).put("d/b.tar", _tar(["y"]))
    first, second = find_sources(f"{root}/d")
    assert first.table is not None
    rows = first.table.to_pylist()
    assert [row["id"] for row in rows] == ["x/1", "x/2"]
    assert [(row["text"], row["n"], row["json_id"]) for row in rows] == [
        ("text 0", 0, "other"), ("text 1", 1, "other"),
    ]  # fmt: skip
    assert rows[1]["audio"].startswith(f"{root}/d/a.tar#bytes=")
    assert len(load_wave(rows[1], AddressPolicy(first.base, tar=first.uri), 60.0)) == 12_000
    assert second.rows == 1


def test_keys_that_repeat_in_other_tars_get_the_tars_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.tar").write_bytes(_tar(["0", "1"]))
    ids = [source.table["id"].to_pylist() for source in find_sources(f"{tmp_path}/*.tar")]
    assert ids == [["a/0", "a/1"], ["b/0", "b/1"]]


def test_another_tar_in_its_place_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_tar(["0"], 0.25))
    before = make_plan(f"{tmp_path}/a.tar", get_task("tokenize"))
    (tmp_path / "a.tar").write_bytes(_tar(["0"], 0.25).ljust(20480, b"\0"))
    after = make_plan(f"{tmp_path}/a.tar", get_task("tokenize"))
    assert before.units[0].fingerprint != after.units[0].fingerprint


def test_a_cut_tar_and_a_broken_json_cost_their_rows(tmp_path: Path) -> None:
    whole = _tar(["0", "1", "2"])
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    (source,) = find_sources(f"{tmp_path}/a.tar")
    assert source.table is not None
    rows = source.table.to_pylist()
    assert rows[0]["id"] == "0"
    assert FAULT_COLUMN in rows[-1]
    sink = io.BytesIO()
    with webdataset.TarWriter(sink) as writer:
        writer.write({"__key__": "bad", "json": b"[1"})
        writer.write({"__key__": "list", "json": b"[1]"})
    sink.seek(0)
    table = read_tar(sink, "t.tar").to_pylist()
    assert [row["id"] for row in table] == ["bad", "list"]
    assert "not an object" in table[1][FAULT_COLUMN]


def _packed(members: Iterable[tuple[str, bytes]]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return sink.getvalue()


def _rows(members: dict[str, bytes]) -> list[dict[str, Any]]:
    return list(read_tar(io.BytesIO(_packed(members.items())), "t.tar").to_pylist())


def test_no_sound_is_lost_to_a_dot_in_its_name() -> None:
    rows = _rows(
        {
            "d/s.1.flac": b"x", "d/s.1.json": b'{"text": "one", "who": {"age": 3}}',
            "d/s.2.flac": b"xy", "d/s.2.txt": b"two", "d/s.lang.txt": b"en", "d/s.speaker": b"s",
        }
    )  # fmt: skip
    assert [(row["id"], row["text"], row["speaker"]) for row in rows] == [
        ("d/s.1", "one", "s"), ("d/s.2", "two", "s"),
    ]  # fmt: skip
    assert [row["audio"].rpartition("+")[2] for row in rows] == ["1", "2"]
    assert rows[0]["who"] == {"age": 3}


def test_one_sound_keeps_its_key_and_takes_what_its_name_shares() -> None:
    rows = _rows({"a.b.wav": b"x", "a.b.json": b'{"text": "one"}', "__meta__": b"x", "c.txt": b"y"})
    assert [(row["id"], row["text"]) for row in rows] == [("a", "one"), ("c", "y")]


def _apart(order: str, count: int = 50) -> list[tuple[str, bytes]]:
    """Members of samples in the order of a folder, or as a file system lists it."""
    texts = [(f"utt{n}.txt", f"text {n}".encode()) for n in range(count)]
    sounds = [(f"utt{n}.wav", bytes(n)) for n in range(count)]
    found = {"texts": texts + sounds, "sounds": sounds + texts, "any": texts + sounds}[order]
    if order == "any":
        random.Random(0).shuffle(found)
    return found


@pytest.mark.parametrize("order", ["texts", "sounds", "any"])
@pytest.mark.parametrize("limit", [None, 3])
def test_members_that_lie_apart_are_joined(
    order: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no more is read than a limit asks for: rows would have lost half of themselves."""
    if limit is not None:
        monkeypatch.setattr("pipelines.manifest.tables.scan.LOOK_CHARACTERS", 5000)
        monkeypatch.setattr("pipelines.manifest.tables.row_tables._BATCH_ROWS", 4)
    members = _apart(order)
    (tmp_path / "a.tar").write_bytes(_packed(members))
    scan = Scan(limit, characters=5000)
    (source,) = find_sources(f"{tmp_path}/a.tar", scan)
    assert source.table is not None
    rows = source.table.to_pylist()
    first = dict.fromkeys(name.partition(".")[0] for name, _ in members)
    assert [row["id"] for row in rows] == list(first)[: len(rows)]
    assert len(rows) == 50 if limit is None else 3 <= len(rows) < 50
    for row in rows:
        number = row["id"].removeprefix("utt")
        assert row["text"] == f"text {number}"
        assert row["audio"].endswith(f"+{number}")
    assert "do not lie in a row; they were brought together" in scan.noticed.notes()[0]


def test_a_tar_whose_samples_lie_in_a_row_is_read_once(tmp_path: Path) -> None:
    scan = Scan(1, characters=0)
    (tmp_path / "a.tar").write_bytes(_tar([f"{n}" for n in range(9)]))
    find_sources(str(tmp_path), scan)
    assert scan.noticed.notes() == ()


def test_one_name_twice_is_an_error_of_its_sample() -> None:
    members = [("a.wav", b"1"), ("b.wav", b"2"), ("b.txt", b"b"), ("a.wav", b"3"), ("a.txt", b"a")]
    rows = read_tar(io.BytesIO(_packed(members)), "t.tar").to_pylist()
    assert [(row["id"], row["text"]) for row in rows] == [("a", None), ("b", "b")]
    assert rows[0][FAULT_COLUMN] == "'.wav' is in the archive more than once; pack it anew"
    assert rows[1][FAULT_COLUMN] is None


def test_keys_of_tars_in_any_order_are_told_apart_by_the_tars_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.tar").write_bytes(_packed(_apart("texts", 2)))
    ids = [source.table["id"].to_pylist() for source in find_sources(str(tmp_path))]
    assert ids == [["a/utt0", "a/utt1"], ["b/utt0", "b/utt1"]]


def test_a_cut_tar_of_any_order_loses_no_sample() -> None:
    data = _packed(_apart("texts", 4))
    rows = read_tar(io.BytesIO(data[: 7 * 1024]), "t.tar").to_pylist()
    assert [row["id"] for row in rows][:4] == ["utt0", "utt1", "utt2", "utt3"]
    assert "cannot be read on" in rows[4][FAULT_COLUMN]


def test_joined_tars_are_no_end_of_the_rows() -> None:
    data = _packed(_apart("texts", 2)) + _packed(_apart("texts", 2))
    rows = read_tar(io.BytesIO(data), "t.tar").to_pylist()
    assert [row["id"] for row in rows][:2] == ["utt0", "utt1"]
    assert "goes on behind its end, as tars that were joined by `cat`" in rows[2][FAULT_COLUMN]


def _sparse(name: str, size: int) -> bytes:
    """A member of which nothing is stored, as old GNU tar writes holes."""
    header = tarfile.TarInfo(name)
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT)[:512])
    block[386:410] = b"%011o\0" % size + b"%011o\0" % 0
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_members_that_are_not_stored_cost_their_samples() -> None:
    names = ["a.txt", "b.wav", "c.jpg"]
    data = b"".join(_sparse(name, 4 << 20) for name in names) + _tar(["d"])
    rows = read_tar(io.BytesIO(data), "t.tar").to_pylist()
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    faults = [row[FAULT_COLUMN] for row in rows]
    assert [bool(fault) for fault in faults] == [True, True, False, False]
    assert faults[:2] == [f"{end} is a sparse member; pack the tar without --sparse"
                          for end in (".txt", ".wav")]  # fmt: skip
    assert [row["text"] for row in rows] == [None, None, None, "text 0"]
    assert [bool(row["audio"]) for row in rows] == [False, False, False, True]


def test_no_more_of_a_tar_is_read_than_a_limit_asks_for(tmp_path: Path) -> None:
    """Behind the first million characters of headers and texts nothing is looked at."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(1500):
            for ending in ("1.wav", "2.wav"):
                tar.addfile(tarfile.TarInfo(f"{number:04}.{ending}"))
    for name in "ab":
        (tmp_path / f"{name}.tar").write_bytes(sink.getvalue())
    whole = find_sources(str(tmp_path))
    assert [source.rows for source in whole] == [3000, 3000]
    some = find_sources(str(tmp_path), Scan(3))
    assert all(2000 <= source.rows < 2500 for source in some)
    for source, full in zip(some, whole, strict=True):
        assert source.table is not None
        assert full.table is not None
        assert source.table.equals(full.table.slice(0, source.rows))
    assert some[1].table is not None
    assert some[1].table["id"][0].as_py() == "b/0000.1"


@given(st.binary(max_size=2000))
@settings(deadline=None)
def test_no_bytes_break_the_reader(data: bytes) -> None:
    table = read_tar(io.BytesIO(data), "t.tar")
    assert table.num_rows == 0 or "id" in table.column_names or FAULT_COLUMN in table.column_names


def test_a_tar_that_is_damaged_from_its_first_byte_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_tar(["x"]))
    (tmp_path / "b.tar").write_bytes(b"\x00" + _tar(["y"])[1:])
    plan = make_plan(str(tmp_path), get_task("tokenize"))
    rows = [row for unit in plan.units for row in unit.read().to_pylist()]
    assert [row.get("id") for row in rows] == ["x", None]
    assert "cannot be read on" in rows[1][FAULT_COLUMN]


def test_tars_in_a_store_are_read_by_their_headers(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many at once; rows, notes and their order are those of tars on a disk."""
    storage = Storage(f"{bucket}/in")
    for number in range(5):
        members = [(f"{number}-{row}.{kind}", bytes(size)) for row in range(3)
                   for kind, size in (("wav", 2 << 20), ("cls", 10))]  # fmt: skip
        data = _packed(members)
        (tmp_path / f"{number}.tar").write_bytes(data)
        storage.put(f"{number}.tar", data)
    asked: list[int] = []

    def counting(uri: str) -> Callable[[int, int], bytes]:
        read = range_reader(uri)

        def counted(start: int, stop: int) -> bytes:
            asked.append(stop - start)
            return read(start, stop)

        return counted

    monkeypatch.setattr(sparse_reader, "range_reader", counting)
    stored, local = Scan(), Scan()
    found, expected = find_sources(f"{bucket}/in", stored), find_sources(str(tmp_path), local)
    ids = [[one.table["id"].to_pylist() for one in some if one.table] for some in (found, expected)]
    assert ids[0] == ids[1]
    assert [one.uri for one in found] == [f"{bucket}/in/{number}.tar" for number in range(5)]
    assert stored.noticed == local.noticed
    assert sum(asked) < 0.1 * 5 * 6 * (1 << 20)
