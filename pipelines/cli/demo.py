"""`uniaudio2 demo`: the bundled recordings, sounds and texts through every kind of task."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jiwer
from rich.table import Table
from rich.text import Text

from actors.batch.names import AUDIO_PATH, FINISH_REASON, INPUT_DURATION_S
from actors.storage.object_store import Storage
from pipelines.config.job import JobConfig
from pipelines.executor.process.process_executor import ProcessExecutor
from pipelines.jobs.result import RunResult
from pipelines.jobs.run import run_job
from pipelines.progress.terminal import Terminal, cell
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.parts import read_part
from uniaudio2.checkpoint.folders import load_config, model_folder

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class DemoJob:
    """One line of the demo.

    Attributes:
        task: what is run.
        source: a bundled manifest, or the folder of an earlier job whose audio is read again.
        folder: where it goes, below the demo's output; None takes the task's name.
        truth: the column of the input that the text shall equal.
    """

    task: str
    source: str
    folder: str | None = None
    truth: str | None = None

    @property
    def name(self) -> str:
        return self.folder or self.task


JOBS = (
    DemoJob("tokenize", "recordings.jsonl"),
    DemoJob("asr", "speech.jsonl", truth="text"),
    DemoJob("audio_caption", "sounds.jsonl", truth="caption"),
    DemoJob("reconstruct", "recordings.jsonl"),
    DemoJob("tts", "texts.jsonl"),
    DemoJob("tta", "captions.jsonl"),
    DemoJob("asr", "tts", folder="asr_of_tts", truth="text"),
    DemoJob("audio_caption", "tta", folder="caption_of_tta", truth="caption"),
)


def read_results(output: str) -> list[dict[str, Any]]:
    """The committed rows of a run, sorted by id."""
    rows: list[dict[str, Any]] = []
    commit_log = CommitLog(Storage(output))
    for commit in commit_log.each_commit():
        for part in commit.data:
            rows.extend(read_part(commit_log.storage, part).to_pylist())
    return sorted(rows, key=lambda row: str(row["id"]))


def _manifest(demo_job: DemoJob, output: str) -> str:
    """The bundled manifest, or a new one that names what an earlier job made."""
    if demo_job.source.endswith(".jsonl"):
        return str(EXAMPLES / demo_job.source)
    truth = demo_job.truth or "text"
    lines = [
        # relative to the manifest, which lies beside the earlier job's folder
        json.dumps(
            {"id": row["id"], "audio": f"{demo_job.source}/{row['audio_path']}", truth: row[truth]}
        )
        for row in read_results(f"{output}/{demo_job.source}")
    ]
    Storage(output).put(f"{demo_job.name}.jsonl", ("\n".join(lines) + "\n").encode())
    return f"{output}/{demo_job.name}.jsonl"


def _went_in(row: dict[str, Any]) -> str:
    if INPUT_DURATION_S in row:
        return f"{str(row['audio']).rpartition('/')[2]} ({row['input_duration_s']:.2f} s)"
    return repr(row.get("text") or row.get("caption"))


def _came_out(row: dict[str, Any]) -> str:
    if AUDIO_PATH in row:
        return f"{row['duration_s']:.2f} s  {row['audio_path']}"
    if FINISH_REASON in row:
        return repr(row["text"])
    return f"{len(row['reason_codes'])} reasoning, {len(row['recon_codes'])} reconstruction frames"


def word_error_rate(rows: list[dict[str, Any]], truth: str) -> float:
    """Word error rate of the rows' `text` against the column `truth` of their input."""
    column = f"input_{truth}" if truth == "text" else truth
    return float(jiwer.wer([row[column] for row in rows], [row["text"] for row in rows]))


def run_demo(output: str, executor: Literal["auto", "ray", "inline"] = "auto") -> int:
    """Run every demo job into a folder below `output` and print what went in and came out.

    Args:
        output: a folder or an address in a store.
        executor: what runs the stages, see `JobConfig`; of auto, one process serves all jobs.

    Returns:
        the exit code: the worst of the jobs.
    """
    output = output.rstrip("/")
    terminal = Terminal(width=150 if not sys.stdout.isatty() else None)
    model = load_config(model_folder(JobConfig.model_fields["model"].default))
    table = Table("task", "in", "out", title="what went in and what came out", box=None)
    results: list[RunResult] = []
    judged: list[str] = []
    process = ProcessExecutor() if executor == "auto" else None
    if process is not None:
        process.start()  # it imports what it needs while this one does
    for demo_job in JOBS:
        folder = f"{output}/{demo_job.name}"
        manifest = _manifest(demo_job, output)
        name = Text(demo_job.task, style="bold")
        terminal.show(name + cell(f" {demo_job.source} -> {folder}"))
        job = JobConfig(task=demo_job.task, input=manifest, output=folder, executor=executor)
        results.append(run_job(job, "lines", fresh=True, executor=process))
        rows = read_results(folder)
        for row in rows:
            table.add_row(demo_job.name, cell(_went_in(row)), cell(_came_out(row)))
        if demo_job.truth and rows:
            judged.append(f"{demo_job.name} {word_error_rate(rows, demo_job.truth):.1%}")
    if process is not None:
        process.close()
    look = f"{output}/*/report.html, {output}/*/data (Parquet) and {output}/*/audio (FLAC)"
    terminal.show("", table, "")
    terminal.show(cell(f"word error rates of {model.name}: {', '.join(judged)}"))
    terminal.show(cell(f"Look at {look}."))
    return max(result.exit_code for result in results)
