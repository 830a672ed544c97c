"""A run that is stopped for a while and goes on, or whose clock is set while it works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli.demo import read_results
from pipelines.run_state.status import read_status, verify

ROOT = Path(__file__).parents[2]
ROWS = 16
FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1"

pytestmark = pytest.mark.slow


def run_with(folder: Path, act: Callable[[int], None], *more: str, **environment: str) -> str:
    """Run a job in a group of its own, do something when it has a few units, see that all is done.

    Args:
        folder: for its input and OUTPUT.
        act: gets the group.
        more: arguments of the command.
        environment: variables besides this process's.

    Returns:
        what it said.
    """
    (folder / "m.txt").write_text("".join(f"one two three {row}\n" for row in range(ROWS)))
    out = folder / "out"
    command = f"-m pipelines.cli run tts {folder}/m.txt {out} --model tiny --executor inline"
    command += " --set unit_rows=2 --set sampling.max_frames=10"
    with subprocess.Popen(
        [sys.executable, *command.split(), *more],
        cwd=ROOT, env={**os.environ, **environment}, process_group=0, text=True,
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


def test_a_clock_that_is_set_back_changes_no_result_and_no_speed(tmp_path: Path) -> None:
    library = FAKETIME.format(os.uname().machine)
    if not os.path.exists(library):
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    said = run_with(
        tmp_path, lambda _: clock.write_text("-40d") and None,
        LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip
    assert "no report" not in said
    speed = re.search(r"speed: +([\d.]+) rows/s.* over (.*) of work", said)
    assert speed, said
    assert float(speed[1]) > 0.05
    assert "h" not in speed[2] and "d" not in speed[2]
