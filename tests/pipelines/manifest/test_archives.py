"""Archives and packed files: read, or refused with the command that unpacks them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import UsageError
from pipelines.manifest.archives import archive_of, unpack_first
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.tables.scan import Scan
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
    for name in ("a.tar.gz", "b.tar.gz", "c.zip"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"3 archives left out \(2 .tar.gz, 1 .zip\).*tar -xf"):
        find_sources(str(tmp_path))
    (tmp_path / "a.wav").write_bytes(WAV)
    scan = Scan()
    find_sources(str(tmp_path), scan)
    (left_out,) = scan.noticed.left_out
    assert left_out.kinds == {".tar.gz": 2, ".zip": 1}
    assert "`mkdir -p " in left_out.why


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
    path.write_bytes(PACKERS[packing](b"\n" * (64 << 20)))
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
