"""Runs under a rule that are stopped, killed or shared: no attempt is lost, none is made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.batch.names import ATTEMPT, ATTEMPTS_FOLDER, ID
from actors.batch.table import Stage
from actors.storage.object_store import Storage
from actors.verify.attempt_file import attempts_made
from pipelines import RunFailed
from pipelines.executor.inline_executor import InlineExecutor
from pipelines.executor.stages import Stages, make_stages
from pipelines.run_state.commit_log import CommitLog
from tests.pipelines.jobs.attempted import CLI, ROWS, Stopping, results, run, settings, texts


class Noting:
    """Notes which attempts of which rows are loaded."""

    def __init__(self, stage: Stage, made: list[tuple[str, int]]) -> None:
        self.stage, self.made = stage, made

    def __call__(self, table: pa.Table) -> pa.Table:
        table = self.stage(table)
        numbers = [one["number"] for one in table.column(ATTEMPT).to_pylist()]
        self.made += zip(table.column(ID).to_pylist(), numbers, strict=True)
        return table


def noted(made: list[tuple[str, int]]) -> Callable[..., Stages]:
    def make(*given: Any) -> Stages:
        stages = make_stages(*given)
        return replace(stages, load=Noting(stages.load, made))

    return make


def kept(output: Path) -> set[tuple[str, int]]:
    """The attempts that OUTPUT has: those of rows that are done, and of rows that wait."""
    storage = Storage(str(output))
    found = set[tuple[str, int]]()
    for commit in CommitLog(storage).each_commit():
        for path in commit.data:
            rows = pa.parquet.read_table(output / path, columns=["id", "attempts"]).to_pylist()
            found.update((row["id"], n) for row in rows for n in range(row["attempts"]))
    by_key = {}
    for path in (output.parent).glob("*.jsonl"):
        from pipelines.planning.plan import make_plan
        from uniaudio2.tasks.table import get_task

        plan = make_plan(str(path), get_task("tts"))
        for unit in plan.units:
            names = unit.read(["id"])["id"].to_pylist()
            keys = [unit.row_keys[n : n + 20] for n in range(0, len(unit.row_keys), 20)]
            by_key.update(zip(keys, names, strict=True))
    for _, rows in attempts_made(storage):
        found.update((by_key[key], n) for key, count in rows.items() for n in range(count))
    return found


@pytest.mark.parametrize("units", [2, 4])
def test_a_run_that_was_stopped_repeats_no_attempt_that_is_kept(
    whole: Path, tmp_path: Path, units: int
) -> None:
    source, output = texts(tmp_path), tmp_path / "out"
    before, after = list[tuple[str, int]](), list[tuple[str, int]]()
    with pytest.raises(RunFailed, match="interrupted"):
        run(source, output, {"executor": Stopping(units), "make": noted(before)})
    there = kept(output)
    assert any(n for _, n in there)
    assert list(output.glob(f"{ATTEMPTS_FOLDER}/*.arrow"))
    result = run(source, output, {"executor": InlineExecutor(), "make": noted(after)})
    assert not there & set(after)
    assert len(after) == len(set(after))
    assert there | set(after) == {
        (name, n) for name, row in results(whole).items() for n in range(row["attempts"])
    }
    assert results(output) == results(whole)
    assert (result.counts.ok, result.counts.units, result.exit_code) == (
        ROWS, result.counts.units_done, 0,
    )  # fmt: skip
    assert not list(output.glob(f"{ATTEMPTS_FOLDER}/*"))


def test_a_run_of_some_rows_leaves_the_attempts_of_others(whole: Path, tmp_path: Path) -> None:
    source, output = texts(tmp_path), tmp_path / "out"
    with pytest.raises(RunFailed, match="interrupted"):
        run(source, output, {"executor": Stopping(3)})
    there, after = kept(output), list[tuple[str, int]]()
    beyond = {(name, n) for name, n in there if int(name[1:]) > 1}
    run(source, output, limit=2)
    assert beyond <= kept(output)
    run(source, output, {"executor": InlineExecutor(), "make": noted(after)})
    assert not beyond & set(after)
    assert results(output) == results(whole)


@pytest.mark.timeout(60)
def test_killed_in_the_middle_of_attempts_the_same_command_goes_on(
    whole: Path, tmp_path: Path
) -> None:
    source, output = texts(tmp_path), tmp_path / "out"
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps({k: v for k, v in settings().items() if k != "task"}))
    command = [*CLI, "run", "tts", source, str(output), "--config", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and not list(output.glob(f"{ATTEMPTS_FOLDER}/*.arrow")):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert child.returncode == -signal.SIGKILL
    there, after = kept(output), list[tuple[str, int]]()
    run(source, output, {"executor": InlineExecutor(), "make": noted(after)})
    assert not there & set(after)
    assert results(output) == results(whole)


def told(output: Path) -> dict[str, dict[str, Any]]:
    """What does not depend on how many threads a worker has."""
    return {
        name: {k: v for k, v in row.items() if k not in ("sound", "score_peak_dbfs")}
        | {"failed_attempts": [one["seed"] for one in row["failed_attempts"] or []]}
        for name, row in results(output).items()
    }


@pytest.mark.nightly
@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(120)
def test_ray_does_attempts_in_the_stream_of_first_draws(whole: Path, tmp_path: Path) -> None:
    """No second stream begins, which would load the model anew: a unit that did not arrive would
    be told as a retry."""
    result = run(texts(tmp_path), tmp_path / "out", executor="ray", max_attempts=1)
    assert result.counts.ok == ROWS
    assert told(tmp_path / "out") == told(whole)


@pytest.mark.timeout(60)
def test_several_processes_share_attempts(whole: Path, tmp_path: Path) -> None:
    run(texts(tmp_path), tmp_path / "out", executor="processes")
    assert told(tmp_path / "out") == told(whole)
