"""A run that is stopped for a while and goes on, or whose clock is set while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.storage.object_store import Storage
from pipelines.cli.demo import read_results
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.status import read_status, verify

ROOT = Path(__file__).parents[2]
ROWS = 16
# the process's clock is 40 days behind as soon as a file is there; libfaketime 0.9.10 cannot serve:
# once the clock is set back, `time.sleep` ends with EINVAL
SET_BACK = """
import os, runpy, sys, time
real, moved = time.time, sys.argv.pop(1)
time.time = lambda: real() - 40 * 86400 * os.path.exists(moved)
runpy.run_module("pipelines.cli", run_name="__main__", alter_sys=True)
"""
PLAIN = ("-m", "pipelines.cli")

pytestmark = pytest.mark.slow


def run_with(
    folder: Path, act: Callable[[int], None], *more: str, program: tuple[str, ...] = PLAIN
) -> str:
    """Run a job in a group of its own, do something when it has a few units, see that all is done.

    Args:
        folder: for its input and OUTPUT.
        act: gets the group.
        more: arguments of the command.
        program: what Python runs.

    Returns:
        what it said.
    """
    (folder / "m.txt").write_text("".join(f"one two three {row}\n" for row in range(ROWS)))
    out = folder / "out"
    command = f"run tts {folder}/m.txt {out} --model tiny --executor inline"
    command += " --set unit_rows=2 --set sampling.max_frames=10"
    with subprocess.Popen(
        [sys.executable, *program, *command.split(), *more],
        cwd=ROOT, process_group=0, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as run:  # fmt: skip
        assert run.stdout
        while len(list(out.glob("_log/units/*.json"))) < 2:
            assert run.poll() is None, run.stdout.read()
            time.sleep(0.02)
        act(run.pid)
        said = run.stdout.read()
    assert run.returncode == 0, said
    status = read_status(str(out))
    assert (status.ok, status.errors) == (ROWS, 0)
    assert len({row["id"] for row in read_results(str(out))}) == len(read_results(str(out))) == ROWS
    assert verify(str(out)) == []
    return said


def test_ctrl_z_and_back_after_longer_than_a_stage_may_take(tmp_path: Path) -> None:
    def stop_and_go_on(group: int) -> None:
        os.killpg(group, signal.SIGTSTP)
        while Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.02)
        time.sleep(10.5)
        os.killpg(group, signal.SIGCONT)

    run_with(tmp_path, stop_and_go_on, "--set", "stage_timeout_s=10")


def test_a_clock_that_is_set_back_changes_no_time_that_is_measured(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    said = run_with(tmp_path, lambda _: moved.touch(), program=("-c", SET_BACK, str(moved)))
    assert "no report" not in said
    records = CommitLog(Storage(str(tmp_path / "out"))).each_commit()
    begins = [call.begin for record in records for call in record.stages]
    assert max(begins) - min(begins) < 86_400
