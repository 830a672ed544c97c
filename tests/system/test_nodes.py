"""Nodes of a Ray cluster that are not as the driver is: mounts of their own stand for machines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

RAY = Path(sys.executable).with_name("ray")
ROOT = Path(__file__).parents[2]
MORE = "--object-store-memory=100000000 --disable-usage-stats --block"
PROBE = """
import json, sys, time
import ray
from pipelines.executor.cluster import start_ray
from pipelines.executor.nodes import probe
from pipelines.executor.nodes.compare import Needs
start_ray(sys.argv[1])
probe.PROBE_S = float(sys.argv[2])
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[3]):
    time.sleep(0.2)
for output, inputs, model in json.loads(sys.argv[4]):
    try:
        probed = probe.probe_nodes(Needs(output, tuple(inputs), model))
        print("passed", probed.line, *(node["host"] for node in probed.nodes))
    except Exception as fault:
        print(type(fault).__name__, fault)
"""
SLOW_RUN = """
import dataclasses, sys, time
from pipelines import JobConfig
from pipelines.executor.ray_executor import RayExecutor
from pipelines.executor.stages import make_stages
from pipelines.jobs.run import run_job
class Slow:
    def __init__(self, stage):
        self.stage = stage
    def __call__(self, table):
        time.sleep(1)
        return self.stage(table)
def make(*given):
    stages = make_stages(*given)
    return dataclasses.replace(stages, load=Slow(stages.load))
if __name__ == "__main__":
    job = JobConfig(task="tokenize", input=sys.argv[2], output=sys.argv[3], model="tiny",
                    unit_rows=1, max_attempts=1)
    try:
        run_job(job, style="lines", make=make, executor=RayExecutor(sys.argv[1]))
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


class Machines:
    """A head that gives no CPU, and nodes with a name and mounts of their own."""

    def __init__(self) -> None:
        self.session = tempfile.mkdtemp(prefix="r", dir="/tmp")
        self.environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        self.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"  # whose clock nobody tells
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = f"{RAY} start --head --port={port} --num-cpus=0 --temp-dir={self.session} {MORE}"
        self._start(*head.split(), "--include-dashboard=false")
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.2)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        self.started.append(
            subprocess.Popen(
                command, env=self.environment, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )
        )  # fmt: skip
        return self.started[-1]

    def join(self, name: str, mounts: str, cpus: int = 1) -> subprocess.Popen[bytes]:
        """A node whose mounts differ by some shell commands."""
        joined = f"exec {RAY} start --address={self.address} --num-cpus={cpus} {MORE}"
        script = f"hostname {name} && {mounts} && {joined}"
        return self._start("unshare", "-m", "-u", "sh", "-c", script)

    def python(self, *arguments: str) -> list[str]:
        """Lines that a driver prints."""
        found = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        return found.stdout.splitlines() or [found.stderr]

    def end(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self.started:
                if process.poll() is None:
                    os.killpg(process.pid, sign)
            time.sleep(2 if sign == signal.SIGTERM else 0)
        for process in self.started:
            process.wait()
        shutil.rmtree(self.session, ignore_errors=True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    started = Machines()
    yield started
    started.end()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Folders with an OUTPUT, an INPUT and a model each."""
    found = {name: tmp_path / name for name in ("own", "shared")}
    for folder in found.values():
        (folder / "out/_log").mkdir(parents=True)
        (folder / "in").mkdir()
        (folder / "in/a.wav").write_bytes(b"sound")
        shutil.copytree(ROOT / "uniaudio2/models/tiny", folder / "model")
    return found


def probed(machines: Machines, nodes: int, *cases: tuple[object, ...], timeout_s: int = 60) -> str:
    """What comes of probing for each of some needs: OUTPUT, INPUT, model; a line each."""
    needs = json.dumps(cases, default=str)
    return "\n".join(
        machines.python("-c", PROBE, machines.address, str(timeout_s), str(nodes + 1), needs)
    )


def test_nodes_that_differ_are_named_before_any_work(
    tmp_path: Path, folders: dict[str, Path], machines: Machines
) -> None:
    own, shared, store = folders["own"], folders["shared"], "s3://bucket/out"
    away = machines.join("away", f"mount -t tmpfs tmpfs {own}")
    good = (shared / "out", [shared / "in"], shared / "model")
    cases = ((own / "out", [], ""), (store, [own / "in"], ""), (store, [], own / "model"), good)
    found = probed(machines, 1, *cases)
    output, source, model, passed = found.splitlines()
    assert output.startswith(f"UsageError OUTPUT '{own}/out' is another folder on node away (")
    assert source.startswith(f"UsageError INPUT '{own}/in' is not on node away (")
    assert model.startswith(f"UsageError model '{own}/model' is not on node away (")
    assert "('config.json' is not there or cannot be read)" in model
    assert passed.startswith("passed 1 node: same code, INPUT, OUTPUT and model there, clocks ")
    assert passed.endswith(" away")
    assert [*own.glob("out/_log/*"), *shared.glob("out/_log/*")] == []

    code = ROOT / "pipelines/errors.py"
    (tmp_path / "errors.py").write_text(code.read_text() + "# another build\n")
    machines.join("build", f"mount --bind {tmp_path}/errors.py {code}")
    other = probed(machines, 2, good)
    assert other.startswith("UsageError node build (")
    assert ") has another UniAudio2 Batch, " in other

    os.killpg(away.pid, signal.SIGSTOP)
    silent = probed(machines, 2, good, timeout_s=4)
    os.killpg(away.pid, signal.SIGCONT)
    assert silent.startswith("RunFailed Ray's connection: node away (")
    assert "did not answer within 4 s" in silent


@pytest.mark.nightly
def test_a_node_that_joins_during_a_run_and_lacks_input_costs_no_row(
    tmp_path: Path, machines: Machines
) -> None:
    source, output, rows = tmp_path / "in", tmp_path / "out", 24
    source.mkdir()
    for number in range(rows):
        sound = np.random.default_rng(number).uniform(-0.1, 0.1, 4000).astype(np.float32)
        soundfile.write(source / f"{number}.wav", sound, 16000)
    machines.join("home", "true", cpus=2)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(
            machines.python, "-c", SLOW_RUN, machines.address, str(source), str(output)
        )
        while not told.done() and not [*output.glob("data/*")]:
            time.sleep(0.2)
        machines.join("late", f"mount -t tmpfs tmpfs {source}", cpus=2)
        lines = told.result()
    assert lines[-1].startswith(f"RunFailed a node: INPUT '{source}"), "\n".join(lines)
    assert " is not on node late (" in lines[-1]
    assert not [*output.glob("errors/*")]
    assert not [*output.glob("_log/fence-*")]
