"""What a job is made of before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.storage import file_systems
from pipelines import JobConfig, run_job
from tests.support.hub import serving
from uniaudio2.checkpoint.folders import BUNDLED


def test_the_commit_of_a_model_is_stored_and_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIAUDIO2_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "hi"}\n')
    paths = [path for path in (BUNDLED / "tiny").rglob("*") if path.is_file()]
    files = {path.relative_to(BUNDLED / "tiny").as_posix(): path.read_bytes() for path in paths}
    with serving("team/model", files) as hub:
        hub.revisions = {"main": "b" * 40, "v1": "a" * 40}
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        file_systems._filesystem.cache_clear()
        for name, address, commit in (
            ("one", "hf://team/model@v1", "a" * 40),
            ("two", "hf://team/model", "b" * 40),
        ):
            job = JobConfig(
                task="tts", input=str(tmp_path / "in.jsonl"), output=str(tmp_path / name),
                model=address, sampling={"max_frames": 8}, executor="inline",
            )  # fmt: skip
            assert run_job(job).counts.ok == 1
            record = json.loads((tmp_path / name / "run.json").read_text())
            assert record["model"]["commit"] == commit
            assert record["config"]["model"] == f"hf://team/model@{commit}"
    file_systems._filesystem.cache_clear()
