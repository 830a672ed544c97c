from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config.job import JobConfig
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.process.early import FEW_ROWS
from pipelines.executor.process.executor_choice import choosing
from pipelines.executor.process.process_executor import ProcessExecutor


def job(folder: Path, **changes: Any) -> JobConfig:
    (folder / "m.jsonl").write_text('{"id": "a", "text": "hello"}\n')
    given = {"task": "text_only", "input": str(folder / "m.jsonl"), "output": str(folder / "out")}
    return JobConfig(**{**given, **changes})


def test_rows_decide_once_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: False)
    with choosing(job(tmp_path)) as choice:
        assert isinstance(choice.of(FEW_ROWS), ProcessExecutor)
    given = InlineExecutor()
    with choosing(job(tmp_path), given=given) as choice:
        assert choice.of(None) is given
