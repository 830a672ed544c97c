"""Archives and packed files: read, or refused with the command that unpacks them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tars.archives import archive_of, unpack_first
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

WAV = wav_bytes(tone(0.1))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"


def tar(mode: str, **members: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_what_a_packed_tar_is_refused_with_unpacks_it(kind: str, tmp_path: Path) -> None:
    """The command of the message, run, leaves a folder that can be read, which it names."""
    mode = {"bz2": "w:bz2", "xz": "w:xz"}.get(kind.rpartition(".")[2], "w:gz")
    path = tmp_path / f"my corpus.{kind}"
    path.write_bytes(tar(mode, **{"a.wav": WAV}))
    with pytest.raises(UsageError, match=r"a packed tar cannot be read from its middle") as caught:
        find_sources(str(path))
    command, name = str(caught.value).split("`")[1:]
    subprocess.run(["/bin/sh", "-c", command], check=True, cwd=tmp_path)
    folder = name.removeprefix(", and name ").strip("'")
    assert make_plan(folder, get_task("tokenize")).rows == 1


def test_commands_of_all_archives() -> None:
    assert archive_of("x/A.TAR.ZST") == ".tar.zst"
    assert archive_of("a.jsonl.zst") == archive_of("a.tar") == archive_of("tar.gz/a.wav") == ""
    assert "`7z x a.7z -oa`, and name a" in unpack_first("a.7z")
    assert "fetch it, then unpack it: `mkdir -p c && tar" in unpack_first("s3://b/c.tgz")
    assert "`unzstd a.parquet.zst`, and name a.parquet" in unpack_first("a.parquet.zst")


def test_a_folder_says_which_archives_it_leaves_out(tmp_path: Path) -> None:
    for name in ("a.tar.gz", "b.tar.gz", "c.7z"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"3 archives left out \(2 .tar.gz, 1 .7z\).*tar -xf"):
        find_sources(str(tmp_path))
    (tmp_path / "a.wav").write_bytes(WAV)
    (tmp_path / "d.zip").write_bytes(b"")
    scan = Scan()
    find_sources(str(tmp_path), scan)
    packed, zipped = scan.noticed.left_out
    assert (packed.kinds, zipped.kinds) == ({".tar.gz": 2, ".7z": 1}, {".zip": 1})
    assert "`mkdir -p " in packed.why
    assert "`unzip -q " in zipped.why


def zstd(data: bytes) -> bytes:
    half = len(data) // 2
    return b"".join(pa.compress(p, "zstd", asbytes=True) for p in (data[:half], data[half:]))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": lambda data: bz2.compress(data[:99]) + bz2.compress(data[99:]),
    "xz": lambda data: lzma.compress(data[:99]) + b"\0" * 8 + lzma.compress(data[99:]),
    "zst": zstd,
}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_packed_text_is_read_as_it_streams(packing: str, kind: str, tmp_path: Path) -> None:
    """Also where it is several streams, as parallel packers write it; in a folder, too."""
    rows = [{"id": f"r{n}", "text": f"text {n}"} for n in range(20_000)]
    lines = [json.dumps(row) for row in rows]
    if kind == "csv":
        lines = ["id,text", *(f"{row['id']},{row['text']}" for row in rows)]
    path = tmp_path / f"m.{kind}.{packing}"
    path.write_bytes(PACKERS[packing]("\n".join(lines).encode()))
    for uri in [path, tmp_path] if kind == "jsonl" else [path]:
        (source,) = find_sources(str(uri))
        assert source.table is not None
        assert source.table.to_pylist() == rows


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_text_that_is_damaged_is_refused(packing: str, tmp_path: Path) -> None:
    whole = PACKERS[packing](b'{"text": "secret"}\n' * 30_000)
    path = tmp_path / f"m.jsonl.{packing}"
    for data in (whole[:-9], whole[: len(whole) // 3], b"secret, and none", whole + b"garbage"):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"it is (cut short|damaged)") as caught:
            find_sources(str(path))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("packing", PACKERS)
def test_what_unpacks_to_too_much_is_no_matter_of_memory(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.manifest.files._MAX_TEXT_BYTES", 1 << 20)
    path = tmp_path / f"m.jsonl.{packing}"
    path.write_bytes(PACKERS[packing](b"\n" * (16 << 20)))
    with pytest.raises(UsageError, match="unpacks to more than 1048576 bytes"):
        find_sources(str(path))


@pytest.mark.parametrize("name", ["m.jsonl", "m.csv", "m.txt", "m.tar", "m.parquet", "m.arrow"])
def test_a_manifest_that_is_a_pointer_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(UsageError, match=r"is a Git LFS pointer.* run `git lfs pull`"):
        find_sources(str(tmp_path / name))


def test_a_packed_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav.gz").write_bytes(gzip.compress(WAV))
    with pytest.raises(UsageError, match=r"packed .wav \(gzip\).*`gunzip -k .*a.wav.gz`, and name"):
        find_sources(str(tmp_path / "a.wav.gz"))


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_zip_is_read_where_it_is(
    where: str, method: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Row by row, texts of the same name beside their sounds, whatever the order of its members."""
    made = Path(zipped(tmp_path / "a.zip", {
        "c/b.txt": b"text b", "c/a.txt": b"text a", "c/a.wav": WAV, "c/b.wav": wav_bytes(tone(0.2)),
        "__MACOSX/c/._a.wav": b"x", "README": b"x",
    }, method))  # fmt: skip
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    Storage(root).put("a.zip", made.read_bytes())
    plan = make_plan(f"{root}/a.zip", get_task("asr"), unit_rows=1)
    assert plan.left_out[0].kinds == {"hidden": 1, "without suffix": 1}
    loaded = [Loader(get_task("asr"), plan.schema)(unit.to_table()) for unit in plan.units]
    assert [table["id"].to_pylist() for table in loaded] == [["c/b"], ["c/a"]]
    assert [table["input_samples"].to_pylist() for table in loaded] == [[4800], [2400]]
    assert loaded[1]["input"][0].as_py()["text"] == "text a"


def test_a_folder_of_zips_and_a_pattern(tmp_path: Path) -> None:
    for name in ("a.zip", "b.ZIP"):
        zipped(tmp_path / name, {"x.wav": WAV})
    for uri in (str(tmp_path), f"{tmp_path}/*"):
        ids = [source.table["id"].to_pylist() for source in find_sources(uri) if source.table]
        assert ids == [["a/x"], ["b/x"]]


def test_what_of_a_zip_is_only_read_unpacked_is_told(tmp_path: Path) -> None:
    scan = Scan()
    uri = zipped(tmp_path / "a.zip", {
        "wavs/a.wav": WAV, "txt/a.txt": b"a", "meta.csv": b"x", "b.jpg": b"x",
    })  # fmt: skip
    (source,) = find_sources(uri, scan)
    assert source.table is not None
    assert source.table["id"].to_pylist() == ["wavs/a"]
    (left_out,) = scan.noticed.left_out
    assert left_out.kinds == {".csv": 1, ".jpg": 1, "texts without a sound of their name": 1}
    assert "holds .csv that give no rows" in scan.noticed.notes()[0]
    assert f"`unzip -q {uri} -d {tmp_path}/a`, and name" in scan.noticed.notes()[0]


def test_members_that_are_not_read_fail_alone(tmp_path: Path) -> None:
    uri = zipped(tmp_path / "a.zip", {"a.wav": WAV, "b.wav": WAV, "b.txt": b"b" * 99, "c.wav": WAV})
    with zipfile.ZipFile(uri, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("d.wav", WAV)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("c.wav", WAV, zipfile.ZIP_STORED)
        text = archive.getinfo("b.txt")
    data = bytearray(Path(uri).read_bytes())
    data[text.header_offset + 36] ^= 255
    Path(uri).write_bytes(data)
    (source,) = find_sources(uri)
    assert source.table is not None
    faults = {row["id"]: row[FAULT_COLUMN] for row in source.table.to_pylist()}
    assert faults["a"] is None
    assert faults["b"] == ".txt is damaged; fetch the zip again"
    assert "'.wav' is in the archive more than once" in faults["c"]
    assert "packed in a way that is not read; unzip the archive" in faults["d"]


@pytest.mark.parametrize("data", [b"", b"PK\3\4 no zip", b"PK\5\6" + bytes(17)])
def test_what_is_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UsageError, match="is no whole zip; fetch it again"):
        find_sources(str(tmp_path / "a.zip"))


def test_a_zip_of_nothing_that_is_a_row_says_how_to_unpack_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing in it is a row; .*`unzip -q "):
        find_sources(zipped(tmp_path / "a.zip", {"README": b"x"}))


def test_a_directory_that_is_too_large_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.manifest.tars.members._MOST_DIRECTORY_BYTES", 100)
    with pytest.raises(UsageError, match=r"too many members to be read where it is; .*`unzip"):
        find_sources(zipped(tmp_path / "a.zip", {f"{n}.wav": WAV for n in range(9)}))
