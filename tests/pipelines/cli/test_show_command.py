from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pipelines.cli.commands import main
from tests.pipelines.committed import make_output


@pytest.fixture
def made(tmp_path: Path) -> str:
    rows = [{"id": "a", "text": "hi"}, {"id": "b", "text": "ho"}]
    return make_output(str(tmp_path / "out"), "tts", rows, [torch.zeros(2400)] * 2)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["uniaudio2", "show", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_rows_and_one_of_them(
    made: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, made) == 0
    assert capsys.readouterr().out.count(".flac") == 2
    assert run(monkeypatch, made, "b") == 0
    said = capsys.readouterr().out
    assert "ho" in said
    assert said.count(".flac") == 1
    assert run(monkeypatch, made, "c") == 2
    assert "has no row 'c'" in capsys.readouterr().err


def test_a_player_is_given_a_copy(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    player = tmp_path / "bin/afplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/heard.flac\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}:/bin:/usr/bin")
    monkeypatch.setattr("pipelines.cli.show_command._PLAYERS", ("afplay",))
    assert run(monkeypatch, made, "a", "--play") == 0
    assert (tmp_path / "heard.flac").read_bytes()[:4] == b"fLaC"
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(monkeypatch, made, "a", "--play") == 2
    assert "--play needs one of afplay on PATH" in capsys.readouterr().err
