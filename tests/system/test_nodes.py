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
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile

from pipelines.run_state.status import read_status, verify

RAY = Path(sys.executable).with_name("ray")
ROOT = Path(__file__).parents[2]
MORE = "--object-store-memory=100000000 --disable-usage-stats --block"
PROBE = """
import json, sys, time
import ray
from pipelines.executor.cluster import start_ray
from pipelines.executor.nodes import examine, probe
from pipelines.executor.nodes.compare import Needs
start_ray(sys.argv[1])
examine.PROBE_S = float(sys.argv[2])
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
import dataclasses, os, sys, time
from pipelines import JobConfig
from pipelines.executor.ray_executor import RayExecutor
from pipelines.executor.stages import make_stages
from pipelines.jobs.run import run_job
class Slow:
    def __init__(self, stage):
        self.go_on = sys.argv[4]
        self.stage = stage
    def __call__(self, table):
        time.sleep(0 if os.path.exists(self.go_on) else 2)
        return self.stage(table)
def make(*given):
    stages = make_stages(*given)
    return dataclasses.replace(stages, load=Slow(stages.load))
if __name__ == "__main__":
    job = JobConfig(task="tokenize", input=sys.argv[2], output=sys.argv[3], model="tiny",
                    unit_rows=1, max_attempts=1, encode={"max_size": 8})
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

    @contextmanager
    def running(
        self, script: str, *given: object, into: IO[str]
    ) -> Iterator[subprocess.Popen[str]]:
        """A driver that works meanwhile."""
        command = [sys.executable, "-c", script, self.address, *map(str, given)]
        run = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=into, stderr=into, text=True
        )
        try:
            yield run
        finally:
            run.kill()
            run.wait()

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
def test_nodes_that_join_late_and_do_not_fit_are_left_out(
    tmp_path: Path, machines: Machines
) -> None:
    """Each lacks something; none of them gets work, and none of their room is counted on."""
    source, output, go_on, rows = tmp_path / "in", tmp_path / "out", tmp_path / "go", 200
    source.mkdir()
    for number in range(rows):
        sound = np.random.default_rng(number).uniform(-0.1, 0.1, 4000).astype(np.float32)
        soundfile.write(source / f"{number}.wav", sound, 16000)
    code = ROOT / "pipelines/errors.py"
    (tmp_path / "errors.py").write_text(code.read_text() + "# another build\n")
    late = {
        "thirsty": (f"mount -t tmpfs tmpfs {source}", f"INPUT '{source}"),
        "forgetful": (f"mount -t tmpfs tmpfs {output}", f"OUTPUT '{output}'"),
        "old": (f"mount --bind {tmp_path}/errors.py {code}", "has another UniAudio2 Batch"),
    }
    machines.join("home", "true", cpus=2)
    said = (tmp_path / "said").open("w+")
    with machines.running(SLOW_RUN, source, output, go_on, into=said) as run:
        while not [*output.glob("_log/units/*.json")]:
            assert run.poll() is None
            time.sleep(0.2)
        for name, (mounts, lack) in late.items():
            joining = machines.join(name, mounts, cpus=2)
            while lack not in Path(said.name).read_text():
                assert run.poll() is None
                if joining.poll() is not None:  # Ray gives up on a busy machine
                    joining = machines.join(name, mounts, cpus=2)
                time.sleep(0.2)
        time.sleep(25)  # Ray Data counts the room of nodes every 20 s
        go_on.touch()
        run.wait(600)
    told = Path(said.name).read_text()
    for name, (_, lack) in late.items():
        [line] = [line for line in told.splitlines() if f"node {name} (" in line]
        assert lack in line
    status = read_status(str(output))
    assert (status.ok, status.errors) == (rows, 0), told
    assert verify(str(output)) == []
    record = json.loads((output / "run.json").read_text())
    assert {node["host"] for node in record["nodes"] if "left_out" in node} == set(late)
    assert "again" not in told
    assert not [*output.glob("_log/fence-*")]
