from __future__ import annotations

from pathlib import Path

import pytest

from actors.disks.remembered import remember, remembered


def test_a_number_is_kept_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert remembered("x") is None
    remember("x", 3)
    remember("y", 0.5)
    remember("x", 4)
    assert (remembered("x"), remembered("y")) == (4, 0.5)
    assert [path.name for path in (tmp_path / "uniaudio2").iterdir()] == ["remembered.json"]


@pytest.mark.parametrize("held", [b"{", b"[1]", b'{"a": "b"}', b"\xff", b"[" * 100_000])
def test_what_is_no_such_file_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bytes
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "uniaudio2").mkdir()
    (tmp_path / "uniaudio2/remembered.json").write_bytes(held)
    assert remembered("x") is None
    remember("x", 1)
    assert remembered("x") == 1


def test_where_nothing_can_be_kept_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    remember("x", 1)
    assert remembered("x") is None
