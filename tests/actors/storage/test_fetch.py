"""Bytes of what a row names, whatever it names."""

from __future__ import annotations

import http.server
import io
import os
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.storage import file_systems
from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import Limits, byte_range, fetch, looked_for, open_uri
from actors.storage.object_store import Storage
from uniaudio2.errors import BadRow


def kind_of(uri: str, max_bytes: int = 1000) -> str:
    with pytest.raises(BadRow) as caught:
        fetch(uri, max_bytes)
    return caught.value.kind


@pytest.mark.timeout(10)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "link", "zero", "."):
        assert kind_of(str(tmp_path / name)) == "unreadable_file"


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for name in ("gone", "loop", "file/below", "x" * 300, "a\0b"):
        assert kind_of(str(tmp_path / name)) == "missing_file"


def _said(name: str, base: Path) -> str:
    policy = AddressPolicy(str(base))
    with pytest.raises(BadRow) as caught, looked_for(name, policy):
        fetch(resolve(name, policy.base), policy=policy)
    assert caught.value.kind == "missing_file"
    return caught.value.message


def test_what_is_missing_says_where_was_looked_and_why(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "lost.wav").symlink_to("/mnt/unmounted/a.wav")
    (tmp_path / "big.wav").symlink_to(".git/annex/objects/x/y/MD5E-s1--z.wav/MD5E-s1--z.wav")
    relative = _said("clips/a.wav", tmp_path)
    assert "its folder is there: correct the name" in relative
    assert f"was looked for in '{tmp_path}' (--set manifest.base=DIR" in relative
    for name, told in {
        f"{tmp_path}/clips/a.wav": "its folder is there: correct the name",
        f"{tmp_path}/wavs/x/a.wav": f"of its path there is '{tmp_path}' alone: correct it",
        f"{tmp_path}/lost.wav": "it is a link, and nothing is where it leads",
        f"{tmp_path}/big.wav": "a git-annex link without its content; run `git annex get`",
    }.items():
        message = _said(name, tmp_path)
        assert told in message
        assert "relative" not in message
        assert "unmounted" not in message  # what a link holds is not told


def test_a_hub_that_limits_is_no_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Limits429(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", "30")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Limits429)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    file_systems._filesystem.cache_clear()
    try:
        with pytest.raises(BadRow) as caught:
            fetch("hf://datasets/org/name/a.wav", timeout_s=0.5)
    finally:
        file_systems._filesystem.cache_clear()
        server.shutdown()
        server.server_close()
    assert caught.value.kind == "too_many_requests"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, who reads everything
    assert kind_of(str(tmp_path / "a")) == "unreadable_file"


def test_a_failing_disk_is_not_the_rows_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        fetch(str(tmp_path / "a"))


def test_size_is_asked_for_before_anything_is_read(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)  # without blocks on the disk
    assert kind_of(str(tmp_path / "huge")) == "too_large"
    Storage(bucket).put("a", b"x" * 1001)
    assert kind_of(f"{bucket}/a") == "too_large"
    assert len(fetch(f"{bucket}/a", 1001)) == 1001


def test_a_bucket_that_cannot_be() -> None:
    assert kind_of("s3://Not A Bucket!/x") == "missing_file"


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/a.wav":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"abc")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(f"{web}/a.wav", 3) == b"abc"
    assert kind_of(f"{web}/gone.wav") == "missing_file"
    assert kind_of(f"{web}/a.wav", 2) == "too_large"
    monkeypatch.setattr(file_systems, "ATTEMPTS", 1)
    assert kind_of("http://127.0.0.1:9/a.wav") == "unavailable"


@pytest.mark.parametrize("where", ["local", "s3"])
def test_large_objects_are_read_where_they_are_asked_for(
    where: str, bucket: str, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 40
    storage = Storage(bucket if where == "s3" else str(tmp_path))
    storage.put("a", data)
    with open_uri(storage.uri("a"), blocks_from=100) as file:
        assert isinstance(file, io.BufferedReader)
        assert file.read(10) == data[:10]
        assert file.seek(-6, io.SEEK_END) == len(data) - 6
        assert file.read() == data[-6:]
        file.seek(300)
        file.seek(200, io.SEEK_CUR)
        assert file.read(5000) == data[500:5500]
    with (
        pytest.raises(BadRow, match="the limit is 100 bytes"),
        open_uri(storage.uri("a"), Limits(100)),
    ):
        pass


def test_a_fault_while_reading_is_not_the_end_of_the_file(tmp_path: Path) -> None:
    """A library in between takes the missing answer for a short file, and says so."""
    (tmp_path / "a").write_bytes(bytes(5000))
    with pytest.raises(OSError, match="gone"), open_uri(str(tmp_path / "a"), blocks_from=1) as file:
        assert isinstance(file, io.BufferedReader)

        def read_range(start: int, stop: int) -> bytes:
            raise OSError(f"gone at {start}")

        file.raw._read_range = read_range  # type: ignore[attr-defined]
        assert file.read() == b""
        raise BadRow("unreadable_audio", "the file is cut")


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_part_of_an_object(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    Storage(root).put("a.tar", bytes(range(100)))
    uri = f"{root}/a.tar"
    assert fetch(byte_range(uri, 10, 5), max_bytes=5) == bytes(range(10, 15))
    assert kind_of(byte_range(uri, 98, 5)) == "unreadable_file"
    assert kind_of(byte_range(uri, 0, 50), max_bytes=49) == "too_large"
    assert kind_of(byte_range(f"{root}/gone.tar", 0, 1)) == "missing_file"
    with open_uri(byte_range(uri, 20, 50), blocks_from=1) as file:
        assert file.seek(-5, io.SEEK_END) == 45
        assert file.read() == bytes(range(65, 70))


def test_a_part_is_believed_of_the_tar_that_was_read_alone(tmp_path: Path) -> None:
    secret, tar = tmp_path / "secret", tmp_path / "a.tar"
    secret.write_bytes(b"the secret")
    tar.write_bytes(b"0123456789")
    policy = AddressPolicy(str(tmp_path), tar=str(tar))
    assert fetch(f"{tar}#bytes=2+3", policy=policy) == b"234"
    for beside in (policy, AddressPolicy(str(tmp_path))):
        with pytest.raises(BadRow) as caught:
            fetch(f"{secret}#bytes=0+8", policy=beside)
        assert caught.value.kind == "missing_file"  # it is a name like any other
        assert "the secr" not in caught.value.message


@pytest.mark.parametrize("blocks_from", [1, 1 << 20])
@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_member_of_a_zip(
    where: str, blocks_from: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Stored and deflated, from a header whose name and extra field have any length."""
    data = bytes(range(256)) * 40
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("stored", data)
        archive.writestr("a/deflated", data, zipfile.ZIP_DEFLATED)
        places = {info.filename: info for info in archive.infolist()}
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    whole = (tmp_path / "a.zip").read_bytes()
    Storage(root).put("a.zip", whole)
    for info in places.values():
        uri = byte_range(f"{root}/a.zip", info.header_offset, info.compress_size)
        with open_uri(uri, blocks_from=blocks_from) as file:
            assert file.read() == data
            assert file.seek(-5, io.SEEK_END) == len(data) - 5
        with pytest.raises(BadRow) as caught, open_uri(uri, Limits(len(data) - 1)):
            pass
        assert caught.value.kind == "too_large"
        assert caught.value.message.count(f"{root}/a.zip") == 1
    packed = places["a/deflated"]
    for at, size in ((packed.header_offset + 1, 9), (packed.header_offset, 9), (len(whole), 1)):
        assert kind_of(byte_range(f"{root}/a.zip", at, size), 1 << 20) == "unreadable_file"


def test_a_member_that_unpacks_to_more_than_a_file_may_is_no_matter_of_memory(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(64 << 20))
    uri = byte_range(str(tmp_path / "a.zip"), 0, archive.getinfo("zeros").compress_size)
    tracemalloc.start()
    try:
        assert kind_of(uri, 4 << 20) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
