"""Seconds that a cluster costs before the first row: the probe of its nodes, and a second node.

Nodes are processes of this machine that Ray takes for machines, so its cores start the workers of
all of them; on machines of their own each starts one. What Ray itself takes for a task that does
nothing on every node is measured beside the probe: a probe cannot be quicker.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parents[1]
_ROUNDS, _QUICK_ROUNDS = 5, 2
_CHILD_S = 300.0
_CLUSTER = """
import pathlib, sys
from ray.cluster_utils import Cluster
small = {"object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
for _ in range(int(sys.argv[1])):
    cluster.add_node(num_cpus=2, **small)
partly = pathlib.Path(sys.argv[2] + ".part")
partly.write_text(cluster.address)
partly.rename(sys.argv[2])
sys.stdin.read()
cluster.shutdown()
"""
# each in a process of its own: what Ray has started for one driver it keeps for no other
_PROBE = """
import json, sys, time
import ray
from pipelines.executor.cluster import start_ray
from pipelines.executor.nodes.compare import Needs
from pipelines.executor.nodes.probe import probe_nodes
start_ray(sys.argv[1])
seconds = []
for _ in range(2):
    begun = time.perf_counter()
    probed = probe_nodes(Needs(sys.argv[2], (sys.argv[2],)))
    seconds.append(time.perf_counter() - begun)
assert len(probed.nodes) == int(sys.argv[3]), probed
print(json.dumps({"probe_s": seconds[0], "probe_warm_s": seconds[1]}))
"""
_EMPTY = """
import json, sys, time
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
from pipelines.executor.cluster import start_ray
start_ray(sys.argv[1])
begun = time.perf_counter()
task = ray.remote(num_cpus=0)(lambda: None)
nodes = [node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU")]
ray.get([task.options(scheduling_strategy=On(name, soft=False)).remote() for name in nodes])
print(json.dumps({"empty_tasks_s": time.perf_counter() - begun}))
"""
_JOB = "from pipelines.cli.commands import main; main()"


class _Nodes:
    """A cluster in a process group of its own: a head without CPUs, and nodes of two."""

    def __init__(self, count: int) -> None:
        self.environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(HERE)}
        self._folder = tempfile.TemporaryDirectory()
        told = Path(self._folder.name, "address")
        self._process = subprocess.Popen(  # noqa: S603 - this project's own code
            [sys.executable, "-c", _CLUSTER, str(count), str(told)], cwd=HERE,
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + _CHILD_S
        while not told.exists():
            if time.monotonic() > until or self._process.poll() is not None:
                self.end()
                raise RuntimeError(f"no cluster of {count} nodes within {_CHILD_S:.0f} s")
            time.sleep(0.1)
        self.address = told.read_text()

    def figures(self, code: str, *arguments: object) -> dict[str, float]:
        """What a driver of this cluster prints last."""
        done = subprocess.run(  # noqa: S603 - this project's own code
            [sys.executable, "-c", code, self.address, *map(str, arguments)], cwd=HERE,
            env=self.environment, capture_output=True, text=True, check=True, timeout=_CHILD_S,
        )  # fmt: skip
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures

    def first_row_s(self) -> float:
        """Seconds from a command to the record of its first unit."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "two.txt").write_text("yes\nno\n")
            words = ["run", "tts", f"{folder}/two.txt", f"{folder}/out", "--model", "tiny"]
            words += ["--set", "unit_rows=1", "--address", self.address, "--quiet"]
            begun = time.perf_counter()
            run = subprocess.Popen(  # noqa: S603 - this project's own command
                [sys.executable, "-c", _JOB, *words], cwd=HERE, env=self.environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                while not list(Path(folder, "out/_log/units").glob("*.json")):
                    if run.poll() is not None or time.perf_counter() - begun > _CHILD_S:
                        run.kill()
                        raise RuntimeError(f"no row: {run.communicate()[1]}")
                    time.sleep(0.02)
                first_s = time.perf_counter() - begun
                run.wait(_CHILD_S)
            finally:
                run.kill()
                run.wait()
            return first_s

    def end(self) -> None:
        """Stop all of it."""
        try:
            self._process.communicate(timeout=60)  # the end of its input is what it waits for
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._folder.cleanup()


def run(quick: bool, nodes: int) -> Mapping[str, float]:
    """Print and return the figures, medians over rounds.

    Args:
        quick: fewer rounds.
        nodes: that are probed.
    """
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    seen: dict[str, list[float]] = {}
    cluster = _Nodes(nodes)
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "_log").mkdir()
            for _ in range(rounds):
                for found in (
                    cluster.figures(_EMPTY), cluster.figures(_PROBE, folder, nodes)
                ):  # fmt: skip
                    for name, value in found.items():
                        seen.setdefault(name, []).append(value)
    finally:
        cluster.end()
    figures = {f"start.{name}": statistics.median(values) for name, values in seen.items()}
    figures["start.load"] = os.getloadavg()[0]
    for name, value in figures.items():
        print(f"{name.partition('.')[2]:16} {value:7.2f}")
    return figures | _ratio(rounds)


def _ratio(rounds: int) -> dict[str, float]:
    """The first row of a run over two nodes beside that over one; the clusters take turns."""
    pairs: Sequence[tuple[_Nodes, list[float]]] = [(_Nodes(count), []) for count in (1, 2)]
    try:
        for _ in range(rounds):
            for cluster, seconds in pairs:
                seconds.append(cluster.first_row_s())
    finally:
        for cluster, _ in pairs:
            cluster.end()
    one, two = (seconds for _, seconds in pairs)
    ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
    figures = {
        "start.first_row_1_s": statistics.median(one),
        "start.first_row_2_s": statistics.median(two),
        "start.nodes_ratio": ratio,
    }
    for name, value in figures.items():
        print(f"{name.partition('.')[2]:16} {value:7.2f}")
    return figures
