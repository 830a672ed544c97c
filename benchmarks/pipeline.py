"""The whole pipeline: how much of the workers' time is work of the stages.

Efficiency is the time that the stages need by themselves, one after the other in one process with
one thread each, before the run and after it, divided by the pipeline's time and the number of
workers, after start-up.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pyarrow as pa
import torch

from actors.batch.stage_times import StageTime
from actors.stages.encode import Encoder
from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.cli.demo import EXAMPLES
from pipelines.config.settings import PartsConfig
from pipelines.executor.stages import Stages, make_stages
from pipelines.jobs.driver import StageFactory
from pipelines.planning.plan import make_plan
from pipelines.planning.pool_sizing import Allocation, fit_pools
from pipelines.run_state.commit_log import CommitLog
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.config import ModelConfig

_ROWS, _UNIT_ROWS = 3072, 32  # so many a unit is what a manifest of this size gets by itself
_BARE_UNITS = 12
_BLOCKS, _BLOCK_S = 60, 0.5


def speech_manifest(folder: Path, rows: int) -> Path:
    """The bundled recordings of speech, in turn, as many as are wanted."""
    lines = (EXAMPLES / "speech.jsonl").read_text().splitlines()
    path = folder / "speech.jsonl"
    with path.open("w") as manifest:
        for number, line in enumerate(islice(cycle(lines), rows)):
            row = json.loads(line)
            audio = str(EXAMPLES / row["audio"])
            print(json.dumps({"id": str(number), "audio": audio, "text": row["text"]}),
                  file=manifest)  # fmt: skip
    return path


class DeviceEncoder(Encoder):
    """An encoder on a device that needs half a second for every block, one after the other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.device = Lock()

    def __call__(self, table: pa.Table) -> pa.Table:
        coded = super().__call__(table)
        with self.device:
            time.sleep(_BLOCK_S)
        return coded


def simulated_stages(
    job: JobConfig, allocation: Allocation, schema: pa.Schema, model: ModelConfig
) -> Stages:
    """The real stages, but for the encoder's device."""
    stages = make_stages(job, allocation, schema, model)
    arguments = stages.pools["encode"][1]
    return replace(stages, pools={"encode": (DeviceEncoder, arguments)})


@dataclass(frozen=True)
class Measured:
    """A run after start-up: from when every worker had begun its first call to the last commit.

    Attributes:
        wall_s: how long that was.
        units: how many units came to their first actor in it; what was under way before is not
            counted.
        audio_s: seconds of audio that these units read or made, whichever is more.
        busy: seconds in which each stage was busy with them, calls side by side counted twice.
    """

    wall_s: float
    units: int
    audio_s: float
    busy: Mapping[str, float]


def timed_run(job: JobConfig, make: StageFactory = make_stages) -> Measured:
    """Run a job and read from its commit records when who did what."""
    # a record for each unit, which tells when its stages had it, with no other unit
    run_job(
        job.model_copy(update={"commit_interval_s": 0.0, "parts": PartsConfig(merge=False)}),
        make=make,
    )
    commits = list(CommitLog(Storage(job.output)).each_commit())
    first: dict[str, float] = {}
    for call in sorted((call for commit in commits for call in commit.stages), key=_begin):
        first.setdefault(call.worker, call.begin)
    started = max(first.values())
    counted = [commit for commit in commits if commit.stages[1].begin >= started]
    if not counted:
        raise RuntimeError("no unit began after start-up; give the run more rows")
    busy: Counter[str] = Counter()
    for commit in counted:
        for call in commit.stages:
            busy[call.stage] += call.busy_s
    records = Path(job.output).glob("_log/units/*.json")
    ended = max(record.stat().st_mtime for record in records)
    audio_s = sum(max(commit.input_s, commit.output_s) for commit in counted)
    return Measured(ended - started, len(counted), audio_s, busy)


def _begin(call: StageTime) -> float:
    return call.begin


def bare_seconds(job: JobConfig, ready: Callable[[], object] = lambda: None) -> Mapping[str, float]:
    """What each stage needs for a unit by itself, the mean of some units; `ready` is called once
    everything is set up."""
    model = load_config(model_folder(job.model))
    plan = make_plan(job.input, job.spec, job.unit_rows, job.limit)
    stages = make_stages(job, fit_pools(job, {"CPU": 1.0}), plan.schema, model)
    chain: dict[str, Any] = {"load": stages.load}
    chain |= {name: kind(**{**args, "threads": 1}) for name, (kind, args) in stages.pools.items()}
    chain["write"] = stages.write
    spent = dict.fromkeys(chain, 0.0)
    for turn in range(2):  # the first unit pays for set-up, and is done again
        if turn:
            ready()
        for unit in plan.units[: 1 if turn == 0 else _BARE_UNITS]:
            table = unit.to_table()
            for name, stage in chain.items():
                begun = time.perf_counter()
                table = stage(table)
                spent[name] += (time.perf_counter() - begun) * turn
    return {name: seconds / len(plan.units[:_BARE_UNITS]) for name, seconds in spent.items()}


def _beside_others(job: JobConfig, start: Barrier) -> float:
    torch.set_num_threads(1)
    return sum(bare_seconds(job, start.wait).values())


def shared_speed(job: JobConfig, workers: int) -> float:
    """How fast a process goes while as many others as there are workers do the same work, by its
    speed alone: threads of a core share its units, and all share memory."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, context) as pool:
        start = manager.Barrier(workers)
        beside = list(pool.map(_beside_others, [job] * workers, [start] * workers))
    return sum(bare_seconds(job).values()) * len(beside) / sum(beside)


def measure_nano(folder: Path, rows: int) -> dict[str, float]:
    """Transcription with the bundled model: efficiency, and how much faster than real time."""
    workers = os.cpu_count() or 1
    job = JobConfig(
        task="asr", input=str(speech_manifest(folder, rows)), output=str(folder / "asr"),
        unit_rows=_UNIT_ROWS,
    )  # fmt: skip
    alone = job.model_copy(update={"output": str(folder / "bare")})
    before = bare_seconds(alone)
    seen = timed_run(job)
    after = bare_seconds(alone)
    bare = {name: (before[name] + after[name]) / 2 for name in before}  # the machine drifts
    efficiency = sum(bare.values()) * seen.units / (seen.wall_s * workers)
    factor = seen.audio_s / seen.wall_s
    print(f"asr, nano: {seen.units * _UNIT_ROWS} of {rows} rows in the {seen.wall_s:.1f} s after "
          f"start-up, {factor:.1f} x real time, {workers} CPUs")  # fmt: skip
    print(f"{'stage':>8}  {'bare s':>6}  {'before':>6}  {'after':>6}  {'in the run s':>12}")
    for name, seconds in bare.items():
        times = (seen.units * each for each in (seconds, before[name], after[name]))
        print(f"{name:>8}  {'  '.join(f'{s:>6.2f}' for s in times)}  {seen.busy[name]:>12.2f}")
    bound = shared_speed(alone, workers)
    print(f"efficiency {efficiency:.3f}; {workers} processes with these stages and nothing else "
          f"reach {bound:.3f}")  # fmt: skip
    return {
        "pipeline.efficiency_nano": efficiency,
        "pipeline.efficiency_without_ray": bound,
        "nano.asr_realtime_factor": factor,
    }


def measure_device(folder: Path, blocks: int) -> dict[str, float]:
    """A device that needs half a second for a block: how much of the time it works."""
    job = JobConfig(
        task="tokenize", input=str(speech_manifest(folder, blocks)),
        output=str(folder / "simulated"), unit_rows=1, encode={"max_size": 1},
    )  # fmt: skip
    seen = timed_run(job, simulated_stages)
    efficiency = seen.units * _BLOCK_S / seen.wall_s
    print(f"simulated device: {seen.units} blocks of {_BLOCK_S:g} s in {seen.wall_s:.1f} s")
    print(f"efficiency {efficiency:.3f}")
    return {"pipeline.efficiency_simulated": efficiency}


def run(quick: bool) -> dict[str, float]:
    """Measure and print; returns the ratios by name."""
    torch.set_num_threads(1)
    share = 4 if quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        figures = measure_nano(folder, _ROWS // share)
        return figures | measure_device(folder, _BLOCKS // share)
