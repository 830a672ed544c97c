"""Seconds from a command to its first row: imports, Ray, pools; beside another build if asked.

Every start is a process of its own. The builds take turns, so that what else the machine does
meets both alike; the figures are medians and the difference of the pairs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import start_on_nodes, start_processes

HERE = Path(__file__).parents[1]
_ROUNDS, _QUICK_ROUNDS = 9, 3
_RAY = """
import json, time
begun = time.perf_counter()
from pipelines.executor.cluster import start_ray
imported = time.perf_counter()
start_ray(None)
print(json.dumps({"import_s": imported - begun, "ray_s": time.perf_counter() - imported}))
"""
_JOB = "from pipelines.cli.commands import main; main()"


def _ray(build: Path) -> dict[str, float]:
    """One start of Ray by a build's own code."""
    done = subprocess.run(  # noqa: S603 - this project's own code
        [sys.executable, "-c", _RAY], cwd=build, capture_output=True, text=True, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _job(build: Path) -> dict[str, float]:
    """One run of one short text, with the model that takes no time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one.txt").write_text("yes\n")
        words = ["run", "tts", f"{folder}/one.txt", f"{folder}/out", "--model", "tiny", "--quiet"]
        begun = time.perf_counter()
        subprocess.run(  # noqa: S603 - this project's own command
            [sys.executable, "-c", _JOB, *words], cwd=build, capture_output=True, check=True
        )
        return {"job_s": time.perf_counter() - begun}


def run(quick: bool, against: Sequence[Path] = (), nodes: int = 0) -> Mapping[str, float]:
    """Print and return the figures.

    Args:
        quick: fewer rounds.
        against: another checkout of this project, started in turns with this one.
        nodes: of a cluster, which is measured instead.
    """
    if nodes:
        return start_on_nodes.run(quick, nodes)
    builds = {"": HERE} | ({"other_": against[0]} if against else {})
    seen: dict[str, list[float]] = {}
    for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
        for prefix, build in builds.items():
            for name, value in {**_ray(build), **_job(build)}.items():
                seen.setdefault(prefix + name, []).append(value)
    figures = {f"start.{name}": statistics.median(values) for name, values in seen.items()}
    for name in ("import_s", "ray_s", "job_s"):
        line = f"{name:9} {figures[f'start.{name}']:6.2f}"
        if against:
            pairs = zip(seen[name], seen[f"other_{name}"], strict=True)
            more = statistics.median([ours - other for ours, other in pairs])
            figures[f"start.more_{name}"] = more
            line += f"   other {figures[f'start.other_{name}']:6.2f}   more in pairs {more:+.2f}"
        print(line)
    return {**figures, **start_processes.run(quick, against)}
