"""Joining a cluster: addresses that are none, jobs that were submitted, what nodes see of disks."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from pipelines import JobConfig, RunFailed, UsageError
from pipelines.executor.cluster import check_reachable
from pipelines.executor.executor import executor_for
from pipelines.executor.ray_executor import RayExecutor


def test_an_address_where_nothing_listens_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, and nobody listens
        begun = time.monotonic()
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(RunFailed, match=f"no Ray cluster answers at .*{port}: "):
                check_reachable(address)
        with pytest.raises(
            RunFailed, match=r"no Ray cluster answers at no-such-host\.invalid:6379"
        ):
            check_reachable("no-such-host.invalid:6379")
        assert time.monotonic() - begun < 30
        taken.listen()
        check_reachable(f"127.0.0.1:{port}")
    check_reachable("auto")


def job(output: str) -> JobConfig:
    return JobConfig(task="tokenize", input="in", output=output, model="tiny")


def test_a_submitted_job_joins_its_cluster_and_leaves_nothing_in_rays_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session_1/runtime_resources/working_dir_files/_ray_pkg_1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    executor = executor_for(job("out"))  # by hand, in a folder of that name
    assert isinstance(executor, RayExecutor)
    assert executor.address is None
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(UsageError, match="OUTPUT 'out' is relative, and this job runs in a folder"):
        executor_for(job("out"))
    for output in ("/shared/out", "s3://bucket/out"):
        executor = executor_for(job(output))
        assert isinstance(executor, RayExecutor)
        assert executor.address == "auto"
    monkeypatch.chdir(tmp_path)
    executor_for(job("out"))  # without a working directory, the driver stays where it was started
