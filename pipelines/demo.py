"""`uniaudio2 demo`: the bundled recordings and texts through every kind of task."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from pipelines.config import JobConfig
from pipelines.ledger import committed_parts
from pipelines.run import RunResult, run_job
from uniaudio2.checkpoint.native import load_config, model_folder

EXAMPLES = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class DemoJob:
    """One task of the demo and the manifest it reads."""

    task: str
    manifest: str
    max_frames: int | None = None


JOBS = (
    DemoJob("tokenize", "recordings.jsonl"),
    DemoJob("asr", "speech.jsonl", max_frames=60),
    DemoJob("reconstruct", "recordings.jsonl"),
    DemoJob("tts", "texts.jsonl", max_frames=60),
)


def read_results(output: str) -> list[dict[str, Any]]:
    """The committed rows of a run, sorted by id."""
    rows: list[dict[str, Any]] = []
    for part in committed_parts(output):
        rows.extend(pq.read_table(part).to_pylist())
    return sorted(rows, key=lambda row: str(row["id"]))


def _went_in(row: dict[str, Any]) -> str:
    if "input_duration_s" in row:
        return f"{row['audio']} ({row['input_duration_s']:.2f} s)"
    return repr(row["text"])


def _came_out(row: dict[str, Any], output: str) -> str:
    if "audio_path" in row:
        return f"{row['duration_s']:.2f} s  {output}/{row['audio_path']}"
    if "text" in row:
        return _short(row["text"])
    return f"{len(row['reason_codes'])} reasoning, {len(row['recon_codes'])} reconstruction frames"


def _short(text: str, width: int = 40) -> str:
    shown = repr(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def run_demo(output: str) -> int:
    """Run every demo job into a folder below `output` and print what went in and came out.

    Returns:
        the exit code: the worst of the jobs.
    """
    console = Console(width=150 if not sys.stdout.isatty() else None, highlight=False)
    model = load_config(model_folder(JobConfig.model_fields["model"].default))
    table = Table("task", "in", "out", title="what went in and what came out", box=None)
    results: list[RunResult] = []
    for demo_job in JOBS:
        folder = f"{output.rstrip('/')}/{demo_job.task}"
        job = JobConfig(
            task=demo_job.task,
            input=str(EXAMPLES / demo_job.manifest),
            output=folder,
            sampling={"max_frames": demo_job.max_frames},
        )
        console.print(f"[bold]{demo_job.task}[/bold] {demo_job.manifest} -> {folder}")
        results.append(run_job(job, "lines", fresh=True))
        for row in read_results(folder):
            table.add_row(demo_job.task, _went_in(row), _came_out(row, folder))
    console.print()
    console.print(table, soft_wrap=True)
    console.print()
    if not model.trained:
        console.print(
            f"The default model {model.name!r} is UNTRAINED: the files above show that every stage "
            "works, not what a trained model hears or says.",
            soft_wrap=True,
        )
    console.print(f"Look at {output}/*/data (Parquet) and {output}/*/audio (FLAC).")
    return max(result.exit_code for result in results)
