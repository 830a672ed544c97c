from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.executor.process.beginning import Beginning
from pipelines.executor.process.early import FEW_ROWS, begun_early, early_worker, may_be_small
from tests.pipelines.executor.process.test_executor_choice import job


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
    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: False)
    assert may_be_small(job(tmp_path, **changes)) is small


def test_a_large_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: False)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3 * FEW_ROWS):
        (folder / f"{number}.wav").write_bytes(b"")
    assert not may_be_small(job(tmp_path, input=str(folder)))


def test_ray_that_runs_already_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: True)
    assert not may_be_small(job(tmp_path))


def test_a_worker_that_was_begun_is_handed_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: False)
    asked = job(tmp_path)
    with begun_early(asked):
        first, second = early_worker(asked), early_worker(asked)
    assert first is not None
    assert second is not None
    try:
        assert first.process.pid != second.process.pid
        assert first.process.poll() is None
    finally:
        first.end()
        second.end()


def test_a_worker_that_nobody_takes_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Beginning] = []

    def begin(*given: Any) -> Beginning:
        begun.append(Beginning(*given))
        return begun[-1]

    monkeypatch.setattr("pipelines.executor.process.early._ray_runs", lambda: False)
    monkeypatch.setattr("pipelines.executor.process.early.Beginning", begin)
    with begun_early(job(tmp_path)):
        pass
    assert begun[0].process.poll() is not None
