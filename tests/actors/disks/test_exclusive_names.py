"""A name is given once, to a whole file, whichever way the disk knows."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from actors.disks import exclusive_names
from actors.disks.exclusive_names import NoExclusiveNames, take_name
from actors.storage.object_store import Storage
from tests.actors.disks.races import killed_at_every_line, race


@pytest.fixture(params=["link", "rename", "lock"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way in turn as the only one; the test's own disk knows all of them."""
    ways = [(name, take) for name, take in exclusive_names._WAYS if name == request.param]
    monkeypatch.setattr(exclusive_names, "_WAYS", tuple(ways))
    return str(request.param)


def test_of_writers_at_once_one_wins_and_all_see_whole_files(way: str, tmp_path: Path) -> None:
    del way
    winners = race(tmp_path, writers=4, names=25)
    assert [len(some) for some in winners] == [1] * 25
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_writer_killed_at_any_line_leaves_nothing_half(way: str, tmp_path: Path) -> None:
    lines = killed_at_every_line(tmp_path)
    assert lines > 12
    named = {path.name for path in (tmp_path / "_log/units").iterdir()}
    assert len([name for name in named if not name.endswith(".tmp")]) == lines + 1
    assert {name.rpartition(".")[2] for name in named} == {"json", "tmp"}
    folder = os.open(tmp_path, os.O_DIRECTORY)
    for number in (1, 2):
        (tmp_path / "new.tmp").unlink(missing_ok=True)
        (tmp_path / "new.tmp").write_text(str(number))
        if number == 1:
            assert take_name("new.tmp", "new", folder) == way
    with pytest.raises(FileExistsError):
        take_name("new.tmp", "new", folder)
    os.close(folder)
    assert (tmp_path / "new").read_text() == "1"


def test_a_lock_that_is_never_let_go_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_names, "_WAYS", exclusive_names._WAYS[2:])
    monkeypatch.setattr(exclusive_names, "_LOCK_WAIT_S", 0.05)
    folder = os.open(tmp_path, os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(TimeoutError, match="let that go on or end it"):
        Storage(str(tmp_path)).create("a", b"x")
    os.close(folder)
    Storage(str(tmp_path)).create("a", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_knows_no_way_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(exclusive_names, "_WAYS", (("link", refuse), ("lock", refuse)))
    with pytest.raises(NoExclusiveNames, match=r"neither hard links nor .* another disk"):
        Storage(str(tmp_path)).create("a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_other_faults_are_told_as_they_are(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_DIRECTORY)
    with pytest.raises(FileNotFoundError):
        take_name("absent", "name", folder)
    os.close(folder)
