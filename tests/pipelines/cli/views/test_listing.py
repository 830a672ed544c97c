from __future__ import annotations

import io

import pytest

from pipelines.cli.views.listing import show_task, show_tasks
from pipelines.progress.terminal import Terminal
from uniaudio2.tasks.table import TASKS


def test_a_file_has_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_tasks(TASKS.values(), ("asr",), "nano")
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    (asr,) = [line for line in said.splitlines() if line.split()[:2] == ["*", "asr"]]
    assert asr.split()[2:4] == ["audio", "text"]
    assert "* nano was trained for it" in said
    assert "TP" not in said


def test_the_layout_of_one_is_told_with_its_signs() -> None:
    file = io.StringIO()
    show_task(TASKS["asr"], Terminal(file=file, width=100))
    assert "TP instruction" in file.getvalue()
