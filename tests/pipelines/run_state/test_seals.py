"""Seals: only the user who wrote a record makes them, and only for the place where it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.run_state import seals
from pipelines.run_state.seals import is_sealed, key_path, seal, user_key

FACTS = {"job": {"task": "tts", "seed": 0}, "input": {"rows": 3, "share": 0.1}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seals._key.cache_clear()
    yield tmp_path / "state/uniaudio2"
    seals._key.cache_clear()


def forget() -> None:
    """As another process of the same user would begin."""
    seals._key.cache_clear()


def test_the_key_is_made_once_and_is_private(home: Path) -> None:
    first = user_key()
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    forget()
    assert user_key() == first
    assert [path.name for path in home.iterdir()] == ["key"]


def test_many_at_once_make_one_key(home: Path) -> None:
    path = key_path()
    assert path is not None
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: seals._kept_key(path, os.getuid()), range(32)))
    assert len(keys) == 1


def test_a_seal_holds_for_these_facts_at_this_place(home: Path) -> None:
    made = seal(FACTS, "/data/out")
    assert is_sealed(dict(reversed(FACTS.items())), "/data/out", made)
    assert not is_sealed(FACTS, "/data/copy", made)
    assert not is_sealed({**FACTS, "input": {"rows": 4}}, "/data/out", made)
    for other in (None, "", 7, made.upper(), "é" * 64, made[:-1]):
        assert not is_sealed(FACTS, "/data/out", other)
    (home / "key").unlink()
    forget()
    assert not is_sealed(FACTS, "/data/out", made)  # another user's key


@pytest.mark.parametrize("harm", ["readable", "link", "empty", "short", "text", "folder"])
def test_a_key_that_others_may_know_is_none(home: Path, harm: str, tmp_path: Path) -> None:
    made = seal(FACTS, "/out")
    key = home / "key"
    if harm == "readable":
        key.chmod(0o644)
    elif harm == "link":
        key.rename(tmp_path / "moved")
        key.symlink_to(tmp_path / "moved")
    elif harm == "folder":
        key.unlink()
        key.mkdir()
    else:
        key.write_text({"empty": "", "short": "ab" * 31, "text": "x" * 64}[harm])
    forget()
    assert not is_sealed(FACTS, "/out", made)
    own = seal(FACTS, "/out")
    assert is_sealed(FACTS, "/out", own)  # within this process
    forget()
    assert not is_sealed(FACTS, "/out", own)


def test_without_a_place_for_it_the_key_is_this_process_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file/state"))
    forget()
    made = seal(FACTS, "/out")
    assert is_sealed(FACTS, "/out", made)
    forget()
    assert not is_sealed(FACTS, "/out", made)


def test_a_relative_state_folder_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert key_path() == Path("/home/somebody/.local/state/uniaudio2/key")
