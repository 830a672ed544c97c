"""A real job server takes a run, which goes on without this process and is followed from OUTPUT."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.doctor import check_job_server
from pipelines.errors import RunFailed
from pipelines.job_server.client import find_server, submit, wait_until_begun
from tests.support.ray_nodes import CLUSTER_PACKAGES, NO_JOB_SERVER, ROOT, Head

CLI = [sys.executable, "-m", "pipelines.cli"]
SECRET = "hunter2-of-this-shell"


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    if not CLUSTER_PACKAGES.is_dir():
        pytest.skip(NO_JOB_SERVER)
    with Head(job_server=True) as head:
        yield head


def test_a_run_goes_on_as_a_job_and_is_followed_to_its_end(head: Head, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "hi"}\n{"id": "b", "text": " "}\n')
    command = [
        "run", "tts", str(tmp_path / "in.jsonl"), str(tmp_path / "o ut"), "--model", "tiny",
        "--set", "sampling.max_frames=20", "--executor", "inline",
    ]  # fmt: skip
    environment = {
        **head.environment,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "RAY_ADDRESS": "127.0.0.1:1",
    }
    sent = subprocess.run(  # the address that is given counts, not the one of the environment
        [*CLI, *command, "--detach", "--address", head.server, "--json"], cwd=tmp_path,
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (sent.returncode, sent.stderr) == (0, "")
    facts = json.loads(sent.stdout)
    assert facts["follow"] == f"uniaudio2 status '{tmp_path}/o ut' --follow"
    assert facts["stop"] == f"ray job stop --address {head.server} {facts['job']}"
    followed = subprocess.run(
        [*CLI, "status", str(tmp_path / "o ut"), "--follow"], cwd=ROOT, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert followed.returncode == 3, followed.stdout + followed.stderr
    assert "rows   1 done, 1 errors, 0 left of 2" in followed.stdout
    from ray.job_submission import JobSubmissionClient

    info = JobSubmissionClient(head.server).get_job_info(facts["job"])
    assert info.entrypoint == (
        f"uniaudio2 run tts {tmp_path}/in.jsonl '{tmp_path}/o ut' --model tiny "
        "--set sampling.max_frames=20 --executor inline --json"
    )
    assert (info.runtime_env, info.metadata) == ({}, {})
    assert SECRET not in info.json()


def test_the_clusters_own_address_finds_its_job_server(head: Head) -> None:
    assert find_server(head.address) == head.server
    found = check_job_server(head.address)
    assert found.passed
    assert found.found.startswith(head.server)


def test_a_job_that_ends_at_once_is_told_with_its_last_line(head: Head) -> None:
    for command, words in (
        ("echo error: wrong; exit 2", "ended at once: error: wrong$"),
        ("no-such-command-here", "not found; start Ray on the nodes with the environment active"),
    ):
        job = submit(command, head.server)
        with pytest.raises(RunFailed, match=words):
            wait_until_begun(job, lambda: False)
    wait_until_begun(submit("exit 3", head.server), lambda: False)  # rows that failed are no fault


def test_a_head_without_a_job_server_is_told_with_the_remedy() -> None:
    with Head(job_server=False) as head:
        found = check_job_server(head.address)
        assert not found.passed
        assert f"the cluster at {head.address} has no job server" in found.found
        assert "install uniaudio2-batch[cluster] where its head runs" in found.remedy
