"""Two nodes of a Ray cluster that share no disk: a mount of its own stands for another machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RAY = Path(sys.executable).with_name("ray")
ROOT = Path(__file__).parents[2]
PROBE = """
import sys
from pipelines.executor.cluster import probe_nodes, start_ray
start_ray(sys.argv[1])
address, output, source, *shared = sys.argv[1:]
for output, *needed in ((output,), ("s3://bucket/out", source), shared):
    try:
        probe_nodes(output, needed)
        print("passed")
    except Exception as fault:
        print(type(fault).__name__, fault)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("unshare") is None,
        reason="a mount of its own needs root and unshare",
    ),
]


@pytest.fixture
def ray_node() -> Iterator[Callable[..., None]]:
    """Starts a node of Ray; all that were started end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        started.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )  # fmt: skip

    yield start
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, sign)
        time.sleep(2 if sign == signal.SIGTERM else 0)
    for process in started:
        process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_nodes_that_share_no_disk_are_named_before_any_work(
    tmp_path: Path, ray_node: Callable[..., None]
) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    for folder in (own, shared):
        (folder / "out/_log").mkdir(parents=True)
        (folder / "in").mkdir()
        (folder / "in/a.wav").write_bytes(b"sound")
    port, session = free_port(), tempfile.mkdtemp(prefix="r", dir="/tmp")
    more = "--object-store-memory=100000000 --disable-usage-stats --block"
    head = f"{RAY} start --head --port={port} --num-cpus=0 --temp-dir={session} {more}"
    ray_node(*head.split(), "--include-dashboard=false")
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.2)
    joined = f"{RAY} start --address=127.0.0.1:{port} --num-cpus=1 {more}"
    ray_node("unshare", "-m", "sh", "-c", f"mount -t tmpfs tmpfs {own} && exec {joined}")
    arguments = (f"127.0.0.1:{port}", own / "out", own / "in", shared / "out", shared / "in")
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True,
        timeout=150,
    )  # fmt: skip
    shutil.rmtree(session, ignore_errors=True)
    output, source, passed = found.stdout.splitlines()
    assert output.startswith(f"UsageError OUTPUT '{own}/out' is another folder on node ")
    assert source.startswith(f"UsageError INPUT '{own}/in' is not on node ")
    assert passed == "passed"
    assert [*own.glob("out/_log/*"), *shared.glob("out/_log/*")] == []
