"""Containers of less than a machine: half a CPU, a small /dev/shm, a read-only home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run_state.status import read_status

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("unshare") is None,
        reason="a cgroup and disks of its own need root and unshare",
    ),
]


@pytest.mark.parametrize(
    ("quota_us", "told"),
    [(50_000, True), pytest.param(150_000, False, marks=pytest.mark.nightly)],
)
def test_parts_of_cpus_are_a_run_on_whole_ones(tmp_path: Path, quota_us: int, told: bool) -> None:
    quota = tmp_path / "cgroup"
    quota.mkdir()
    (quota / "cpu.max").write_text(f"{quota_us} 100000\n")
    (quota / "memory.max").write_text("max\n")
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "m.txt").write_text("one\n")
    out = tmp_path / "out"
    mounts = (
        f"mount --bind {quota} /sys/fs/cgroup && mount -t tmpfs -o size=64m tmpfs /dev/shm"
        f" && mount -t tmpfs -o ro tmpfs {home}"
    )
    run = f"{sys.executable} -m pipelines.cli run tts {tmp_path}/m.txt {out} --model tiny"
    run += " --until generate --set sampling.max_frames=9 --executor ray"
    found = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mounts} && exec {run}"],
        cwd=ROOT, env={**os.environ, "HOME": str(home), "XDG_STATE_HOME": ""},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert ("0.5 of a CPU, which Ray takes for a whole one" in found.stdout) == told
    assert "fractional" not in found.stdout + found.stderr
    status = read_status(str(out))
    assert (status.ok, status.errors) == (1, 0)
