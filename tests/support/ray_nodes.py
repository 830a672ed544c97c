"""Nodes of Ray as a user starts them, with and without what a job server needs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
ROOT = Path(__file__).parents[2]
# what `.[cluster]` adds; `make setup` puts it there
CLUSTER_PACKAGES = Path(sys.prefix) / "cluster"
NO_JOB_SERVER = f"no {CLUSTER_PACKAGES}: `make setup` puts there what a job server needs"
_SMALL = "--object-store-memory=100000000 --disable-usage-stats --block"


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


class Head:
    """The head of a cluster of its own; a context manager that ends it.

    Args:
        job_server: with what a job server needs.
        options: more of ``ray start``.

    Attributes:
        address: of the cluster.
        server: address of its job server.
        environment: of its processes.
    """

    def __init__(self, job_server: bool, options: str = "--num-cpus=2") -> None:
        port, dashboard, agent, *metrics = free_ports(5)
        self.address, self.server = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        self._session = tempfile.mkdtemp(prefix="r", dir="/tmp")  # sockets need a short path
        paths = [str(ROOT), *([str(CLUSTER_PACKAGES)] if job_server else [])]
        self.environment = {
            **os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(paths),
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
            # fixed ports of all heads of a machine otherwise
            "AUTOSCALER_METRIC_PORT": str(metrics[0]), "DASHBOARD_METRIC_PORT": str(metrics[1]),
        }  # fmt: skip
        command = (
            f"{RAY} start --head --port={port} --temp-dir={self._session} {_SMALL} "
            f"--dashboard-port={dashboard} --dashboard-agent-listen-port={agent} {options}"
        )
        self._process = subprocess.Popen(
            command.split(), env=self.environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait_for(dashboard if job_server else port)

    def _wait_for(self, port: int) -> None:
        until = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no head at {port}: exit code {self._process.poll()}")
            time.sleep(0.2)

    def __enter__(self) -> Head:
        return self

    def __exit__(self, *_: object) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
                self._process.wait(timeout=3)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        shutil.rmtree(self._session, ignore_errors=True)
