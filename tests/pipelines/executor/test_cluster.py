"""Joining a cluster: addresses that are none, jobs that were submitted, what nodes see of disks."""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import ray
from ray._raylet import GcsClient

from pipelines import JobConfig, RunFailed, UsageError
from pipelines.executor import cluster
from pipelines.executor.cluster import check_reachable
from pipelines.executor.executor import executor_for
from pipelines.executor.network.listeners import who_listens
from pipelines.executor.ray_executor import RayExecutor


def free_port() -> Iterator[int]:
    """A port that is bound, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


nobody = pytest.fixture(free_port)


def test_an_address_where_nothing_listens_is_told_at_once(nobody: int) -> None:
    for address, told in (
        (
            f"127.0.0.1:{nobody}",
            f"no Ray cluster answers at 127.0.0.1:{nobody}: Connection refused",
        ),
        ("no-such-host.invalid:6379", "no Ray cluster answers at no-such-host.invalid:6379: "),
        ("127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999: "),
    ):
        with pytest.raises(RunFailed) as failed:
            check_reachable(address)
        assert str(failed.value).startswith(f"Ray's connection: {told}")
        assert str(failed.value).endswith("; nothing was computed")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://10.0.0.5:10001", "give HOST:PORT of the cluster's head"),
        ("http://head:8265", "hand the run over with --detach"),
        ("head", "give HOST:PORT of the cluster's head"),
        ("", "give HOST:PORT of the cluster's head"),
    ],
)
def test_what_is_no_address_of_a_head_is_refused(address: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_reachable(address)


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """A server that answers whatever it is told with some bytes, or says nothing."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = ear.accept()
                lines.append(line)
                if answer is not None:
                    line.recv(1 << 10)
                    line.sendall(answer)
                    line.close()

    lines: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as ear:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{ear.getsockname()[1]}"
        ear.shutdown(socket.SHUT_RDWR)
    for line in lines:
        line.close()


def test_what_else_listens_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with pytest.raises(RunFailed, match=r"but a web server does .*8265.*; give the port of its"):
        check_reachable(f"127.0.0.1:{web.server_address[1]}")
    web.shutdown()
    web.server_close()
    monkeypatch.setattr(cluster, "who_listens", functools.partial(who_listens, wait_s=0.3))
    for answer, told in (
        (b"-ERR unknown command 'PRI'\r\n", "but a Redis server does"),
        (None, "but something listens there that says nothing"),
        (b"220 mail ready\r\n", "but something listens there that speaks neither"),
    ):
        with server(answer) as address, pytest.raises(RunFailed, match=told):
            check_reachable(address)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_of_another_version_or_token_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    address = ray.get_runtime_context().gcs_address
    assert check_reachable(address) == address
    head = GcsClient(address=address)
    key, space = b"CLUSTER_METADATA", b"cluster"
    facts = head.internal_kv_get(key, space)
    for name, what in (("ray_version", "Ray"), ("python_version", "Python")):
        other = json.dumps({**json.loads(facts), name: "1.2.3"}).encode()
        head.internal_kv_put(key, other, True, space)
        try:
            with pytest.raises(
                RunFailed, match=f"runs {what} 1.2.3, and this process .*same {what}"
            ):
                check_reachable(address)
        finally:
            head.internal_kv_put(key, facts, True, space)
    loosened = ".".join(map(str, sys.version_info[:2])) + ".99"
    other = json.dumps({**json.loads(facts), "python_version": loosened}).encode()
    monkeypatch.setenv("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")
    head.internal_kv_put(key, other, True, space)
    try:
        assert check_reachable(address) == address
    finally:
        head.internal_kv_put(key, facts, True, space)
    asking = f"from pipelines.executor.cluster import start_ray; start_ray({address!r})"
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    ran = subprocess.run(
        [sys.executable, "-c", asking], env=environment, capture_output=True, text=True
    )
    *_, told = ran.stderr.splitlines()
    assert f"the cluster at {address} wants a token that this process does not have" in told
    assert "InvalidAuthToken" not in ran.stderr.partition("Traceback")[0]  # nothing raw


@pytest.mark.usefixtures("cluster")
def test_a_run_of_its_own_ray_tells_that_it_does_not_join(
    nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [note for note in RayExecutor().allocate(job("out")).notes if "RAY_ADDRESS" in note]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{nobody}")
    note, *_ = RayExecutor().allocate(job("out")).notes
    assert note.startswith(f"RAY_ADDRESS is 127.0.0.1:{nobody}, and this run has a Ray of its own")


def test_auto_says_which_cluster_it_means(nobody: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{nobody}")
    told = rf"answers at 127\.0\.0\.1:{nobody} \(from RAY_ADDRESS\): Connection refused"
    with pytest.raises(RunFailed, match=told):
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
