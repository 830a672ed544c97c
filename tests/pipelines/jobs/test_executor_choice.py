from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config.job import JobConfig
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.process.process_executor import ProcessExecutor
from pipelines.jobs.executor_choice import FEW_ROWS, choosing, may_be_small


def job(folder: Path, **changes: Any) -> JobConfig:
    (folder / "m.jsonl").write_text('{"id": "a", "text": "hello"}\n')
    given = {"task": "text_only", "input": str(folder / "m.jsonl"), "output": str(folder / "out")}
    return JobConfig(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "small"),
    [
        ({}, True), ({"executor": "process"}, True), ({"executor": "ray"}, False),
        ({"executor": "inline"}, False), ({"address": "10.0.0.1:6379"}, False),
        ({"encode": {"min_size": 2}}, False), ({"generate": {"num_gpus": 1}}, False),
        ({"input": "s3://bucket/m.jsonl"}, False),
        ({"input": "s3://bucket/m.jsonl", "limit": 2}, True),
    ],
)  # fmt: skip
def test_a_glance_tells_what_may_be_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], small: bool
) -> None:
    monkeypatch.setattr("pipelines.jobs.executor_choice._ray_runs", lambda: False)
    assert may_be_small(job(tmp_path, **changes)) is small


def test_a_large_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.jobs.executor_choice._ray_runs", lambda: False)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3 * FEW_ROWS):
        (folder / f"{number}.wav").write_bytes(b"")
    assert not may_be_small(job(tmp_path, input=str(folder)))


def test_ray_that_runs_already_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.jobs.executor_choice._ray_runs", lambda: True)
    assert not may_be_small(job(tmp_path))


def test_rows_decide_once_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.jobs.executor_choice._ray_runs", lambda: False)
    with choosing(job(tmp_path)) as choice:
        assert isinstance(choice.of(FEW_ROWS), ProcessExecutor)
    given = InlineExecutor()
    with choosing(job(tmp_path), given=given) as choice:
        assert choice.of(None) is given
