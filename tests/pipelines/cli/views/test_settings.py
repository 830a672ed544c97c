from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from pipelines.cli.views.settings import as_yaml, settings_of, show_settings
from pipelines.config.make_job import make_job
from pipelines.progress.terminal import Terminal
from uniaudio2.tasks.table import TASKS, get_task

GIVEN = {"task": "asr", "input": "in", "output": "out"}


def test_every_setting_has_a_meaning() -> None:
    assert [one.name for one in settings_of() if len(one.meaning) < 10] == []


def test_each_is_taken_by_its_name_and_default() -> None:
    sets = tuple(
        f"{one.name}={one.default}" for one in settings_of() if one.default not in ("(needed)",)
    )
    assert make_job(GIVEN, sets=sets) == make_job(GIVEN)


@pytest.mark.parametrize("task", [None, "asr", "tts"])
def test_the_file_is_one_to_start_from(tmp_path: Path, task: str | None) -> None:
    asked = get_task(task) if task else None
    text = as_yaml(asked)
    (tmp_path / "job.yaml").write_text(text)
    assert make_job(GIVEN, str(tmp_path / "job.yaml")) == make_job(GIVEN)
    assert yaml.safe_load(text)["max_attempts"] == 2
    assert "seconds" in text


def test_a_task_has_those_of_its_stages() -> None:
    names = {one.name for one in settings_of(TASKS["asr"])}
    assert "sampling.top_k" in names
    assert "flow.steps" not in names
    (most,) = [one for one in settings_of(TASKS["tts"]) if one.name == "sampling.max_frames"]
    assert most.meaning.endswith("here 150")


def test_the_table_fits() -> None:
    file = io.StringIO()
    show_settings(terminal=Terminal(file=file, width=100))
    said = file.getvalue()
    assert max(map(len, said.splitlines())) <= 100
    assert "encode.padding" in said
