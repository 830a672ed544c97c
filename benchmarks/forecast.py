"""What `uniaudio2 plan` predicts beside what the run then takes, each a command of its own.

A run is preceded and followed by a plan: a machine that others share drifts. Figures are wall
times of the work, without what a command imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pipeline import speech_manifest

TASKS = ("asr", "tts", "reconstruct")
_ROWS, _QUICK_ROWS = 3000, 300
_CLI = [sys.executable, "-c", "from pipelines.cli.commands import main; main()"]


def _last_event(*words: str) -> dict[str, Any]:
    """The last line of JSON that a command prints."""
    done = subprocess.run(  # noqa: S603 - our own command line
        [*_CLI, *words, "--json"], stdout=subprocess.PIPE, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def measure(folder: Path, manifest: Path, task: str, executor: str) -> dict[str, float]:
    """One task: planned, run, planned again."""
    words = (task, str(manifest), str(folder / f"{task}-{executor}"), "--executor", executor)
    absent = (*words[:2], str(folder / "absent"), *words[3:])
    plans = [_last_event("plan", *absent)]
    run = _last_event("run", *words)
    plans.append(_last_event("plan", *absent))
    walls = [plan["figures"]["wall_s"] for plan in plans]
    predicted_s = sum(wall["value"] for wall in walls) / 2
    audio_s = run["input_s"] + run["output_s"]
    told = ("input_hours", "output_hours")
    heard_s = 3600 * sum(plans[0]["figures"][name]["value"] for name in told)
    ranges = ", ".join(
        f"{wall['value']:.1f} ({wall['low']:.1f} to {wall['high']:.1f})" for wall in walls
    )
    print(f"{task:>12} {executor:>10}: {run['ok']} rows in {run['elapsed_s']:.1f} s; planned "
          f"before and after: {ranges}; limit {plans[0]['bottleneck']}; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    begin = f"forecast.{task}_{executor}"
    return {
        f"{begin}_wall": predicted_s / run["elapsed_s"],
        f"{begin}_wall_before": walls[0]["value"] / run["elapsed_s"],
        f"{begin}_audio": heard_s / audio_s,
        f"{begin}_s": run["elapsed_s"],
    }


def run(quick: bool) -> Mapping[str, float]:
    """Measure, and print; returns what was predicted over what came, which should be 1."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = speech_manifest(folder, _QUICK_ROWS if quick else _ROWS)
        for task in TASKS:
            for executor in ("inline", "processes"):
                figures |= measure(folder, manifest, task, executor)
    return figures
