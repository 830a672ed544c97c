"""A run of one clip, process by process: where its first seconds go, and how much memory it takes.

Every process of a run notes when it began, what it imported, and when it loaded a model,
calibrated and was first called (`start_hook`). Builds take turns; ratios are of pairs of runs, so
that what else the machine does meets both alike.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parents[1]
CLIP = HERE / "pipelines/examples/audio/speech-1.wav"
_ROUNDS, _QUICK_ROUNDS = 5, 1
_LOOK_S = 0.02
_COMMAND = "from pipelines.cli import main; main()"
_KINDS = (
    ("gcs_server", "Ray: head"), ("raylet/raylet", "Ray: node"), ("monitor.py", "Ray: monitor"),
    ("dashboard.py", "Ray: dashboard"), ("agent.py", "Ray: agent"),
    ("runtime_env/agent", "Ray: environments"), ("default_worker", "Ray: worker"),
    ("executor.process", "worker"),
)  # fmt: skip


@dataclass
class Seen:
    """What a process did, in seconds since the command was given."""

    kind: str
    begun_s: float
    imports_s: float = 0.0
    ray_s: float = 0.0
    model_s: float = 0.0
    calibration_s: float = 0.0
    first_call_s: float | None = None
    stages: list[str] = field(default_factory=list)


def _run(build: Path, folder: Path, notes: bool, task: str = "asr") -> tuple[float, float, float]:
    """One run of one clip by a build's code: seconds to its row and to its end, and the highest
    memory of all its processes in MiB, which is looked at where nothing is noted."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    shutil.rmtree(folder / "notes", ignore_errors=True)
    (folder / "notes").mkdir(parents=True)
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "in").mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("start_hook.py"), folder / "hook/sitecustomize.py")
    shutil.copy(CLIP, folder / "in")
    environment = {**os.environ, "UNIAUDIO2_RUN_MARK": str(folder)}
    environment["XDG_STATE_HOME"] = str(folder / "state")
    if notes:
        environment["UNIAUDIO2_START_NOTES"] = str(folder / "notes")
        environment["PYTHONPATH"] = str(folder / "hook")
    words = ["run", task, str(folder / "in"), str(folder / "out"), "--quiet"]
    begun = time.time()
    process = subprocess.Popen(  # noqa: S603 - this project's own command
        [sys.executable, "-c", _COMMAND, *words], cwd=build, env=environment
    )
    first_s, peak = 0.0, 0.0
    while process.poll() is None:
        if not first_s and any((folder / "out/_log/units").glob("*.json")):
            first_s = time.time() - begun
        if not notes:
            peak = max(peak, memory_mib(str(folder)))
        time.sleep(_LOOK_S if notes else 10 * _LOOK_S)
    if process.returncode:
        raise RuntimeError(f"the run by {build} ended with {process.returncode}")
    return first_s or time.time() - begun, time.time() - begun, peak


def memory_mib(mark: str) -> float:
    """Proportional memory of every process that was started with a mark in its environment."""
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if mark.encode() not in (process / "environ").read_bytes():
                continue
            text = (process / "smaps_rollup").read_text()
        except OSError:  # it ended, or is another user's
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def _seen(folder: Path) -> list[Seen]:
    """What the processes of the last run noted, in the order in which they began."""
    of_processes = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (folder / "notes").glob("*.jsonl")
    ]
    first = min(notes[0]["begin"] for notes in of_processes)
    made = []
    for notes in of_processes:
        command = " ".join(notes[0]["command"])
        kind = next((kind for sign, kind in _KINDS if sign in command), "driver")
        one = Seen(kind, notes[0]["begin"] - first)
        for note in notes[1:]:
            took = note["end"] - note["begin"]
            if note["what"] == "import":
                one.imports_s += took
            elif note["what"] in ("ray", "model", "calibration"):
                name = f"{note['what']}_s"
                setattr(one, name, getattr(one, name) + took)
            elif note["what"] == "call":
                if one.first_call_s is None:
                    one.first_call_s = note["begin"] - first
                one.stages.append(note["stage"])
        made.append(one)
    return sorted(made, key=lambda one: one.begun_s)


def _print(title: str, seen: Sequence[Seen]) -> None:
    print(f"\n{title}")
    heads = ("began", "imports", "Ray", "model", "calibr.", "1st call")
    print(f"{'process':20}" + "".join(f"{head:>9}" for head in heads) + "  stages")
    for one in seen:
        call = "" if one.first_call_s is None else f"{one.first_call_s:.1f}"
        values = (one.begun_s, one.imports_s, one.ray_s, one.model_s, one.calibration_s)
        print(
            f"{one.kind:20}" + "".join(f"{value:9.1f}" for value in values) + f"{call:>9}  "
            + " ".join(dict.fromkeys(one.stages))
        )  # fmt: skip


def _demo_s(build: Path, folder: Path) -> float:
    """Seconds of the whole demo by a build's code."""
    begun = time.time()
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, "-c", _COMMAND, "demo", str(folder / "demo")], cwd=build, check=True,
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.time() - begun


def run(quick: bool, against: Sequence[Path] = ()) -> Mapping[str, float]:
    """Print a table for each build and return the figures by name.

    Args:
        quick: one round, and no demo.
        against: another checkout of this project, started in turns with this one.
    """
    builds = {"this build": HERE} | ({"the other": against[0].resolve()} if against else {})
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in builds}
    tables: dict[str, list[Seen]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
            for name, build in builds.items():
                folder = Path(scratch, name.replace(" ", "-"))
                first_s, whole_s, _ = _run(build, folder, notes=True)
                tables.setdefault(name, _seen(folder))
                *_, memory = _run(build, folder, notes=False)
                rows[name].append((first_s, whole_s, memory))
        demos = {} if quick else {n: _demo_s(b, Path(scratch, n[:3])) for n, b in builds.items()}
    for name in builds:
        _print(name, tables[name])
        first_s, whole_s, memory = (
            statistics.median(some) for some in zip(*rows[name], strict=True)
        )
        told = f", demo {demos[name]:.0f} s" if demos else ""
        print(f"first row {first_s:.1f} s, end {whole_s:.1f} s, memory {memory:.0f} MiB{told}")
    figures = {
        "start.first_row_s": statistics.median(row[0] for row in rows["this build"]),
        "start.pss_mib": statistics.median(row[2] for row in rows["this build"]),
    }
    if against:
        pairs = list(zip(rows["this build"], rows["the other"], strict=True))
        for place, name in enumerate(("first_row", "whole", "pss")):
            ratios = [ours[place] / theirs[place] for ours, theirs in pairs]
            figures[f"start.{name}_ratio"] = statistics.median(ratios)
        if demos:
            figures["start.demo_ratio"] = demos["this build"] / demos["the other"]
    for name, value in figures.items():
        print(f"{name:24} {value:8.2f}")
    return figures
