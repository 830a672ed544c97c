"""Links inside a folder are never followed; its own root may be one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.storage.local_folder import ForeignPath, inner_path
from actors.storage.object_store import Storage

Act = Callable[[Storage, str], Any]
ACTS: dict[str, Act] = {
    "read": Storage.read,
    "exists": Storage.exists,
    "put": lambda storage, path: storage.put(path, b"x"),
    "put_file": lambda storage, path: storage.put_file(path, Path(__file__)),
    "create": lambda storage, path: storage.create(path, b"x"),
}
BELOW: dict[str, Act] = {
    **ACTS,
    "delete": Storage.delete,
    "list": Storage.list,
    "children": Storage.children,
}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Files of somebody else, and an OUTPUT that links to them in several ways."""
    there = tmp_path / "there"
    (there / "unit").mkdir(parents=True)
    (there / "unit/a.flac").write_bytes(b"precious")
    out = tmp_path / "out"
    (out / "real").mkdir(parents=True)
    (out / "audio").symlink_to(there)
    (out / "real/unit").symlink_to(there / "unit")
    (out / "real/a.flac").symlink_to(there / "unit/a.flac")
    (out / "real/gone").symlink_to(there / "nothing")
    return there


def state(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("path", ["real/a.flac", "real/gone"])
def test_what_is_a_link_is_refused(tmp_path: Path, there: Path, name: str, path: str) -> None:
    before = state(there)
    with pytest.raises(ForeignPath, match="is a link, which is not followed"):
        ACTS[name](Storage(str(tmp_path / "out")), path)
    assert state(there) == before
    assert sorted(os.listdir(tmp_path / "out/real")) == ["a.flac", "gone", "unit"]


@pytest.mark.parametrize("name", BELOW)
@pytest.mark.parametrize("path", ["audio/unit/a.flac", "real/unit/a.flac", "audio/unit"])
def test_what_lies_behind_a_link_is_refused(
    tmp_path: Path, there: Path, name: str, path: str
) -> None:
    before = state(there)
    with pytest.raises(ForeignPath, match=r"(audio|real/unit) in .* is a link"):
        BELOW[name](Storage(str(tmp_path / "out")), path)
    assert state(there) == before


def test_a_linked_folder_is_not_listed_as_one(tmp_path: Path, there: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    for look in (storage.list, storage.children):
        with pytest.raises(ForeignPath):
            look("audio")
    assert storage.list("") == ["audio", "real/a.flac", "real/gone", "real/unit"]
    assert storage.is_link("audio")
    assert storage.is_link("audio/unit")
    assert not storage.is_link("real")
    assert not storage.is_link("nothing/here")


def test_a_link_itself_can_go_and_its_target_stays(tmp_path: Path, there: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    for path in ("real/a.flac", "real/unit", "real/gone", "audio"):
        storage.delete(path)
    assert storage.list("") == []
    assert (there / "unit/a.flac").read_bytes() == b"precious"


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big/disk").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "big/disk")
    storage = Storage(str(tmp_path / "out"))
    storage.put("a/b", b"x")
    storage.create("a/c", b"y")
    assert storage.list("a") == ["a/b", "a/c"]
    assert (tmp_path / "big/disk/a/c").read_bytes() == b"y"
    assert storage.address == Storage(str(tmp_path / "big/disk")).address
    storage.delete("a/b")
    assert storage.children("a") == ["a/c"]


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(11))
    storage = Storage(str(tmp_path))
    for name in ("pipe", "folder"):
        with pytest.raises(ForeignPath, match="is not a regular file"):
            storage.read(name)
    with pytest.raises(ForeignPath, match="larger than 10 bytes"):
        storage.read("large", 10)
    assert storage.read("large", 11) == bytes(11)


def test_a_folder_that_becomes_a_link_meanwhile_is_not_entered(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has listed it; somebody exchanges it; the sweep goes on."""
    (tmp_path / "out/mine/unit").mkdir(parents=True)
    (tmp_path / "out/mine/unit/a.flac").write_bytes(b"mine")
    storage = Storage(str(tmp_path / "out"))
    listed = storage.list("mine")
    (tmp_path / "out/mine").rename(tmp_path / "out/moved")
    (tmp_path / "out/mine").symlink_to(there)
    for path in listed:
        with pytest.raises(ForeignPath):
            storage.delete(path)
    assert (there / "unit/a.flac").exists()


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a/./b", "a//b",
        "a/", "a\x00b", "a\nb", "a\\..\\b", "file:///etc/passwd", "s3://bucket/key", "\ud800",
        "x" * 256, "/".join(["x" * 200] * 6), 7, None,
    ],
)  # fmt: skip
def test_the_one_guard_lets_nothing_out(tmp_path: Path, path: Any) -> None:
    storage = Storage(str(tmp_path))
    for act in (Storage.read, Storage.uri, Storage.delete, *ACTS.values()):
        with pytest.raises(ForeignPath, match="would leave") as refused:
            act(storage, path)
        assert len(str(refused.value).splitlines()) == 1
        assert str(refused.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["a", "a/b.c", "audio/00000000-aaaaaaaa/ü -_.flac", "..a", "a..b"])
def test_the_one_guard_lets_names_pass(path: str) -> None:
    assert inner_path(path, "/out") == path
