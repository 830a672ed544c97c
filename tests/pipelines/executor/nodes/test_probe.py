"""The probe on a Ray of one node: what a run says and records of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig
from pipelines.executor.nodes.compare import Needs
from pipelines.executor.nodes.probe import probe_nodes, question_of
from pipelines.executor.ray_executor import RayExecutor
from pipelines.jobs.run import run_job
from pipelines.planning.plan import make_plan
from pipelines.run_state.commit_log import CommitLog
from uniaudio2.tasks.table import get_task


def test_what_nodes_are_asked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"a")
    model = tmp_path / "model"
    (model / "tokenizer").mkdir(parents=True)
    for name in ("config.json", "README.md", "a.safetensors", "tokenizer/t.json", ".hidden"):
        (model / name).write_text(name)
    asked = question_of(Needs("out", (str(tmp_path / "in"), "s3://b/in"), str(model)))
    assert asked.paths == (str(tmp_path / "in"), str(tmp_path / "in/a"))
    assert asked.model_files == ("config.json", "a.safetensors", "tokenizer/t.json")
    (tmp_path / "list.jsonl").write_text('{"audio": "in/a"}\n{"audio": "in/gone"}\n')
    plan = make_plan(str(tmp_path / "list.jsonl"), get_task("tokenize"))
    assert plan.first_files == (str(tmp_path / "in/a"),)
    assert question_of(Needs("out", (), "tiny")).model == ""
    assert question_of(Needs("out", (), "hf://org/name")).remote_model == "hf://org/name"


@pytest.mark.usefixtures("cluster")
def test_a_run_on_a_cluster_says_and_records_its_nodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("yes\n")
    job = JobConfig(task="tts", input=str(tmp_path / "in.txt"), output=str(tmp_path / "out"),
                    model="tiny")  # fmt: skip
    run_job(job, style="lines", executor=RayExecutor("auto"))
    assert "1 node: same code, INPUT and OUTPUT there, clocks within " in capsys.readouterr().out
    [node] = json.loads((tmp_path / "out/run.json").read_text())["nodes"]
    assert node["versions"]["torch"]
    assert node["cpus"] >= 1
    assert set(node["free_disk_bytes"]) == {"output", "tmp", "ray"}
    run = CommitLog(Storage(job.output)).read_run()
    assert run is not None
    assert run["nodes"] == [node]


@pytest.mark.usefixtures("cluster")
def test_a_model_that_nodes_cannot_fetch_is_told(bucket: str) -> None:
    with pytest.raises(Exception, match=r"model 's3://.*/none' cannot be had on node .*no files"):
        probe_nodes(Needs(f"{bucket}/out", (), f"{bucket}/none"))
