"""The driver of a large run: its memory and the time of its own work, by rows of the manifest.

The stages are the real ones, but for the language model, which answers at once: what is measured is
planning, streaming, committing, resuming and cleaning up, each run in a process of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.batch.names import SPANS
from actors.batch.schema import SPAN_TEXTS_TYPE
from pipelines import JobConfig, run_job
from pipelines.executor.stages import Stages, make_stages
from pipelines.planning.pool_sizing import Allocation
from pipelines.run_state.status import read_status
from uniaudio2.config import ModelConfig

_ROWS, _QUICK_ROWS = (10_000, 100_000, 1_000_000), (1_000, 10_000)
_ROW_GROUP = 8192
_BESIDE_ROWS, _QUICK_BESIDE_ROWS = 1_000_000, 10_000
_FORMER_UNIT_ROWS = 128  # what earlier builds were measured with
# what another checkout is asked: its own code, its own stages
_BESIDE = """
import json, sys
from pipelines import JobConfig
from benchmarks.driver import measured
if __name__ == "__main__":
    manifest, output, unit_rows = sys.argv[1:]
    unit_rows = int(unit_rows) or None
    job = JobConfig(task="text_only", model="tiny", input=manifest, output=output,
                    unit_rows=unit_rows)
    seen = {name: measured(name, job) for name in ("run", "run again")}
    print(json.dumps({name: [one.seconds, one.peak_mib] for name, one in seen.items()}))
"""
_LOOK_S = 0.1
_MIB = 2**20


class Answerer:
    """Stands for the language model: every row's answer is its own text."""

    def __init__(self, **_: Any) -> None: ...

    def __call__(self, table: pa.Table) -> pa.Table:
        texts = table["input"].combine_chunks().field("text")
        reasons = pa.array(["stop"] * table.num_rows, pa.string())
        spans = pa.nulls(table.num_rows, SPAN_TEXTS_TYPE)
        answers = {"text": texts, SPANS: spans, "finish_reason": reasons}
        for name, column in answers.items():
            table = table.append_column(name, column)
        return table


def answering_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The real stages, but for the language model."""
    stages = make_stages(job, allocation, schema, model)
    return replace(stages, pools={"generate": (Answerer, {})})


def text_manifest(folder: Path, rows: int) -> Path:
    """A Parquet file of ids and short texts."""
    path = folder / f"{rows}.parquet"
    fields = pa.schema({"id": pa.string(), "text": pa.string(), "speaker": pa.string()})
    with pq.ParquetWriter(path, fields) as file:
        for start in range(0, rows, _ROW_GROUP):
            some = range(start, min(start + _ROW_GROUP, rows))
            columns = {
                "id": [f"recordings/2026/{row:09d}.flac" for row in some],
                "text": [f"this is what was said in row {row}" for row in some],
                "speaker": [f"speaker-{row % 97}" for row in some],
            }
            file.write_table(pa.table(columns, schema=fields), row_group_size=_ROW_GROUP)
    return path


@dataclass(frozen=True)
class Seen:
    """Memory of a process over a call.

    Attributes:
        seconds: how long the call took.
        base_mib: resident memory before it.
        peak_mib: the highest seen in it.
    """

    seconds: float
    base_mib: float
    peak_mib: float


def resident_mib() -> float:
    """Memory of this process that is its own: pages that it shares with others, as Ray's object
    store, do not count."""
    facts = Path("/proc/self/statm").read_text().split()
    return (int(facts[1]) - int(facts[2])) * 4096 / _MIB


class _Watch:
    """Looks at the memory of this process until it is told to stop."""

    def __init__(self) -> None:
        self.base_mib = self.peak_mib = resident_mib()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.peak_mib = max(self.peak_mib, resident_mib())

    def __enter__(self) -> _Watch:
        self.begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.begun
        self._over.set()
        self._thread.join()


def _run(job: JobConfig) -> None:
    result = run_job(job, make=answering_stages)
    if result.counts.ok != result.counts.rows:
        raise RuntimeError(f"{result.counts.ok} of {result.counts.rows} rows succeeded")


def _status(job: JobConfig) -> None:
    if left := read_status(job.output).left:
        raise RuntimeError(f"{left} rows are left")


_CALLS = {"run": _run, "run again": _run, "status": _status}


def _child(name: str, job: JobConfig, answers: Any) -> None:
    with _Watch() as watch:
        _CALLS[name](job)
    answers.send(Seen(watch.seconds, watch.base_mib, watch.peak_mib))


def measured(name: str, job: JobConfig) -> Seen:
    """Make one call in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, job, there))
    process.start()
    there.close()
    seen = answers.recv()
    process.join()
    return seen  # type: ignore[no-any-return] # a pipe has no types


def _beside(build: Path, manifest: Path, output: str, unit_rows: int) -> dict[str, list[float]]:
    """Seconds and highest memory of a run, and of one that finds all done, by a build's code."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(_BESIDE)
        script.flush()
        words = [sys.executable, script.name, str(manifest), output, str(unit_rows)]
        done = subprocess.run(  # noqa: S603 - this project's own code
            words, cwd=build, env={**os.environ, "PYTHONPATH": str(build)}, check=True,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    figures: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _compared(rows: int, other: Path, scratch: Path) -> Mapping[str, float]:
    """This build and another one, one after the other, over the same manifest."""
    manifest = text_manifest(scratch, rows)
    here = Path(__file__).parents[1]
    ours = _beside(here, manifest, f"{scratch}/ours", 0)
    theirs = _beside(other, manifest, f"{scratch}/theirs", _FORMER_UNIT_ROWS)
    for name in ours:
        print(
            f"{name:<9}  this build {ours[name][0]:.1f} s, {ours[name][1]:.0f} MiB; "
            f"the other {theirs[name][0]:.1f} s, {theirs[name][1]:.0f} MiB"
        )
    parts = len(list(Path(scratch, "ours/data").iterdir()))
    print(f"parts: {parts}, {len(list(Path(scratch, 'theirs/data').iterdir()))}")
    return {
        "driver.rows_ratio": theirs["run"][0] / ours["run"][0],
        "driver.again_s": ours["run again"][0],
        "driver.again_ratio": theirs["run again"][0] / ours["run again"][0],
        "driver.parts": float(parts),
    }


def run(quick: bool, against: Sequence[Path] = ()) -> Mapping[str, float]:
    """Measure and print; returns the figures by name.

    Args:
        quick: fewer rows.
        against: another checkout of this project, which does the same beside this one.
    """
    if against:
        with tempfile.TemporaryDirectory() as scratch:
            rows = _QUICK_BESIDE_ROWS if quick else _BESIDE_ROWS
            return _compared(rows, against[0], Path(scratch))
    sizes = _QUICK_ROWS if quick else _ROWS
    peaks: dict[tuple[str, int], float] = {}
    print(f"{'rows':>9}  {'call':<9}  {'seconds':>8}  {'before MiB':>10}  {'highest MiB':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        for rows in sizes:
            job = JobConfig(
                task="text_only", model="tiny", input=str(text_manifest(Path(scratch), rows)),
                output=f"{scratch}/out{rows}",
            )  # fmt: skip
            for name in _CALLS:
                seen = measured(name, job)
                peaks[name, rows] = seen.peak_mib
                print(f"{rows:>9}  {name:<9}  {seen.seconds:>8.1f}  {seen.base_mib:>10.0f}  "
                      f"{seen.peak_mib:>11.0f}")  # fmt: skip
                sys.stdout.flush()
    few, many = sizes[0], sizes[-1]
    return {
        "driver.peak_ratio_run": peaks["run", many] / peaks["run", few],
        "driver.peak_ratio_again": peaks["run again", many] / peaks["run again", few],
    }
