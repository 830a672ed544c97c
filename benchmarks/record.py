"""What was measured, when, with which code and where: a line of JSON a run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

RESULTS = Path(__file__).with_name("results.jsonl")
_CPU_FACTS = Path("/proc/cpuinfo")


def commit(folder: Path = RESULTS.parent) -> str:
    """The commit that is checked out, with a mark if files differ from it."""
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],  # noqa: S607 - git is on PATH
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return answer.stdout.strip() or "unknown"


def machine() -> str:
    """Processor, cores and GPU."""
    names = [
        line.partition(":")[2].strip()
        for line in (_CPU_FACTS.read_text().splitlines() if _CPU_FACTS.is_file() else [])
        if line.startswith("model name")
    ]
    cpu = f"{os.cpu_count()} x {names[0] if names else platform.machine()}"
    return f"{cpu}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else cpu


def append(
    name: str,
    quick: bool,
    figures: Mapping[str, float],
    against: Sequence[Path] = (),
    path: Path = RESULTS,
) -> None:
    """Note the figures of a benchmark, and which other builds were measured beside it."""
    words = [name, *["--quick"] * quick, *(f"--against {commit(other)}" for other in against)]
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit(),
        "machine": machine(),
        "command": "python -m benchmarks " + " ".join(words),
        "figures": {key: round(value, 4) for key, value in figures.items()},
    }
    with path.open("a") as file:
        print(json.dumps(facts), file=file)
