"""The same promises on local disk and on S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage import AlreadyThere, Storage, read_uri, retrying


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    return Storage(request.getfixturevalue("bucket") + "/out")


def test_put_replaces_and_list_sees_it(storage: Storage) -> None:
    storage.put("a/b.txt", b"one")
    storage.put("a/b.txt", b"two")
    assert storage.read("a/b.txt") == b"two"
    assert storage.list("a") == ["a/b.txt"]
    assert read_uri(storage.uri("a/b.txt")) == b"two"


def test_create_is_first_come_first_served(storage: Storage) -> None:
    storage.create("log/1.json", b"first")
    storage.create("log/1.json", b"first")  # the answer to the first call may have been lost
    with pytest.raises(AlreadyThere):
        storage.create("log/1.json", b"second")
    assert storage.read("log/1.json") == b"first"
    assert storage.list("log") == ["log/1.json"]


def test_absent_things(storage: Storage) -> None:
    assert storage.list("nowhere") == []
    assert not storage.exists("nothing")
    storage.delete("nothing")
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_nothing_leaves_the_root(storage: Storage, path: str) -> None:
    with pytest.raises(ValueError, match="would leave"):
        storage.put(path, b"")


def test_retrying_gives_up_at_once_when_it_cannot_help() -> None:
    calls: list[int] = []

    def forbidden() -> None:
        calls.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        retrying(forbidden, "reading")
    assert len(calls) == 1


def test_retrying_outlasts_a_passing_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.storage.FIRST_WAIT_S", 0.001)
    answers = [OSError("503"), OSError("reset"), b"data"]

    def flaky() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(flaky, "reading") == b"data"


def test_no_more_is_read_than_asked_for(storage: Storage) -> None:
    storage.put("a", b"12345")
    storage.put("b", b"")
    assert storage.read("a", 5) == b"12345"
    assert storage.read("b", 5) == b""
    with pytest.raises(OSError, match="larger than 4 bytes"):
        storage.read("a", 4)
    assert not storage.is_link("a")
