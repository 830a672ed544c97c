"""What a manifest costs, by the code of the checkout that this is run in; `manifests` runs it.

``python manifest_costs.py QUESTION ARGUMENTS`` prints its figures as a line of JSON. It also runs
with builds whose modules had other names and which had no inline executor.
"""

from __future__ import annotations

import importlib
import inspect
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

_WORKERS = 2
_CODES = pa.list_(pa.list_(pa.uint16(), 8))  # [T][8]
_MADE_BEFORE = {
    "actors.stages.load": "actors.load",
    "pipelines.executor.stages": "pipelines.graph",
    "pipelines.planning.plan": "pipelines.plan",
    "uniaudio2.tasks.table": "uniaudio2.tasks",
}


def module(name: str) -> Any:
    """A module by its name of today, or by that of an earlier build."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return importlib.import_module(_MADE_BEFORE[name])


def bytes_read() -> int:
    """Bytes that this process has read by calls, out of the page cache or not."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["rchar"])


def peak_mb() -> float:
    """The most memory that this program held, not the one that it was forked from."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(facts["VmHWM"].split()[0]) / 1024


def _load(uri: str, first: int) -> tuple[int, int]:
    """Read every so many units of a manifest as one worker of a run does.

    One row of another file comes first: libraries are read, too.
    """
    task = module("uniaudio2.tasks.table").get_task("tokenize")
    planning, loading = module("pipelines.planning.plan"), module("actors.stages.load")
    plan, other = planning.make_plan(uri, task), planning.make_plan(f"{uri}.one.parquet", task)
    passing = getattr(planning, "passthrough_schema", None) or planning.travelling_schema
    loader = loading.Loader(task, passing(plan.schema))
    loader(other.units[0].to_table())
    before, rows = bytes_read(), 0
    for unit in plan.units[first::_WORKERS]:
        rows += loader(unit.to_table()).num_rows
    return bytes_read() - before, rows


def amplification(uri: str) -> list[float]:
    """Bytes that planning and loading read of a file, by its size; seconds; rows."""
    task = module("uniaudio2.tasks.table").get_task("tokenize")
    make_plan = module("pipelines.planning.plan").make_plan
    begun, before = time.monotonic(), bytes_read()
    make_plan(uri, task)
    read, rows = bytes_read() - before, 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_WORKERS, context) as workers:
        for more, some in workers.map(_load, [uri] * _WORKERS, range(_WORKERS)):
            read, rows = read + more, rows + some
    return [read / Path(uri).stat().st_size, time.monotonic() - begun, rows]


def planning(uri: str) -> list[float]:
    """Seconds of planning, the growth of memory in MB, and rows."""
    task = module("uniaudio2.tasks.table").get_task("tts")
    make_plan = module("pipelines.planning.plan").make_plan
    before_mb, begun = peak_mb(), time.monotonic()
    plan = make_plan(uri, task)
    return [time.monotonic() - begun, peak_mb() - before_mb, plan.rows]


def store(uri: str) -> list[float]:
    """Seconds until the first units of a plan and until it is whole, and its rows."""
    task = module("uniaudio2.tasks.table").get_task(
        "tokenize" if uri.endswith((".tar", "/many")) else "tts"
    )
    make_plan = module("pipelines.planning.plan").make_plan
    begun = time.monotonic()
    if "files" not in inspect.signature(make_plan).parameters:
        plan = make_plan(uri, task)
        whole_s = time.monotonic() - begun
        return [whole_s, whole_s, plan.rows]  # units are there when all are
    head_start = importlib.import_module("pipelines.planning.head_start")
    kept_plan = importlib.import_module("pipelines.run_state.kept_plan")
    with tempfile.TemporaryDirectory() as output:
        storage = importlib.import_module("actors.storage.object_store").Storage(output)

        def planned(files: int | None) -> Any:
            return make_plan(
                uri, task, kept=kept_plan.KeptPlan(storage), files=files, readers=readers
            )

        readers = importlib.import_module("actors.prefetch.in_processes").Readers()
        plan = planned(head_start.FIRST_FILES)
        first_s = time.monotonic() - begun
        plan.kept.store(is_whole=not plan.later_files)
        portions = head_start.Portions(planned, head_start.FIRST_FILES)
        portions.start()
        while plan.later_files:
            plan = portions.next()
        portions.stop()
        readers.close()
        return [first_s, time.monotonic() - begun, plan.rows]


class CountingEncoder:
    """Stands for the codec: a frame a row; notes in a file how many rows it was given."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, table: pa.Table) -> pa.Table:
        with Path(self.path).open("a") as file:
            file.write(f"{table.num_rows}\n")
        for name in ("reason_codes", "recon_codes"):
            codes = pa.array([[[1] * 8]] * table.num_rows, _CODES)
            table = table.drop_columns([name]) if name in table.column_names else table
            table = table.append_column(name, codes)
        sounds = [name for name in ("wave", "source") if name in table.column_names]
        return table.drop_columns(sounds)


def recomputed(folder: str, added: str, output: str) -> list[float]:
    """Rows that are encoded again once a file is added to a folder; seconds of that run; rows of
    the first."""
    from pipelines import JobConfig, run_job

    stages = module("pipelines.executor.stages")
    count = f"{output}.rows"

    def counting(*facts: Any) -> Any:
        return replace(
            stages.make_stages(*facts), pools={"encode": (CountingEncoder, {"path": count})}
        )

    more: dict[str, Any] = {}
    if "executor" in inspect.signature(run_job).parameters:
        from pipelines.executor.inline_executor import InlineExecutor

        more["executor"] = InlineExecutor()
    job = JobConfig(task="tokenize", model="tiny", input=folder, output=output)
    run_job(job, make=counting, **more)
    first = _counted(count)
    os.link(added, Path(folder, Path(added).name))
    begun = time.monotonic()
    run_job(job, make=counting, **more)
    return [_counted(count) - first, time.monotonic() - begun, first]


def _counted(path: str) -> int:
    return sum(map(int, Path(path).read_text().split()))


QUESTIONS = {
    "amplification": amplification,
    "planning": planning,
    "recomputed": recomputed,
    "store": store,
}

if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    print(json.dumps(QUESTIONS[sys.argv[1]](*sys.argv[2:])))
