"""Small jobs about a third of whose draws keep a rule."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from actors.batch.receipt import Outcome
from actors.batch.unit import UnitSpec
from actors.storage.audio_files import read_sound
from actors.storage.object_store import Storage
from pipelines import JobConfig, RunResult, run_job
from pipelines.cli.demo import read_results
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.stages import Stages
from pipelines.planning.pool_sizing import Allocation

ROWS = 8
RULE = {"rule": "peak_dbfs < 2.0", "attempts": 3, "best": "-peak_dbfs"}
CLI = [sys.executable, "-c", "from pipelines.cli.commands import main; main()"]


def texts(tmp_path: Path, rows: Sequence[int] = range(ROWS), name: str = "texts.jsonl") -> str:
    path = tmp_path / name
    lines = ({"id": f"r{n}", "text": f"yes number {n}"} for n in rows)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def settings(**more: Any) -> dict[str, Any]:
    """Short draws of a tiny model, about a third of which keep the rule."""
    return {
        "task": "tts", "model": "tiny", "executor": "inline", "unit_rows": 3,
        "sampling": {"max_frames": 8, "guidance": 1.0}, "flow": {"steps": 1, "guidance": 1.0},
        "verify": RULE, "commit_interval_s": 0, **more,
    }  # fmt: skip


def run(source: str, output: Path, run: dict[str, Any] | None = None, **more: Any) -> RunResult:
    return run_job(JobConfig(input=source, output=str(output), **settings(**more)), **(run or {}))


def results(output: Path | str) -> dict[str, dict[str, Any]]:
    """Rows by their ids, their audio as the bytes of its file."""
    found: dict[str, dict[str, Any]] = {}
    for row in read_results(str(output)):
        assert row["id"] not in found
        row["sound"] = read_sound(Storage(str(output)), row.pop("audio_path"))
        found[row["id"]] = row
    return found


class Stopping(InlineExecutor):
    """Ends the run when so many units have come through: as a kill would, between two of them."""

    def __init__(self, units: int) -> None:
        self.left = units

    def stream(
        self, units: Sequence[UnitSpec], stages: Stages, allocation: Allocation, alone: bool = False
    ) -> Iterator[Outcome]:
        for outcome in super().stream(units, stages, allocation, alone):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield outcome
