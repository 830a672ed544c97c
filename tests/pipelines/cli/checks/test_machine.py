"""What is odd about a machine is named, with what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.checks import machine

ROOT = Path(__file__).parents[4]
SHOW = """
from pipelines.cli.checks.machine import MACHINE
for name, check in MACHINE:
    found = check()
    print(f"{name}|{'ok' if found.passed else 'FAILED'}|{found.found}|{found.remedy or found.hint}")
"""


def shown(prefix: list[str], **environment: str) -> dict[str, list[str]]:
    """What the checks of a machine say in another process, by name."""
    found = subprocess.run(
        [*prefix, sys.executable, "-c", SHOW], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split("|") for line in found.stdout.splitlines()]
    return {name: rest for name, *rest in lines}


@pytest.mark.slow
@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None,
    reason="a cgroup, disks and a network of its own need root and unshare",
)
def test_every_oddity_of_a_machine_is_named(tmp_path: Path) -> None:
    quota, home, long = tmp_path / "cgroup", tmp_path / "home", tmp_path / ("x" * 80)
    for folder in (quota, home, long):
        folder.mkdir()
    (quota / "cpu.max").write_text("50000 100000\n")
    script = (
        f"mount --bind {quota} /sys/fs/cgroup && mount -t tmpfs -o size=64m tmpfs /dev/shm"
        f" && mount -t tmpfs -o ro tmpfs {home} && mount -t tmpfs -o size=9m tmpfs {long}"
        ' && exec "$@"'
    )
    said = shown(
        ["unshare", "-m", "-n", "sh", "-c", script, "sh"],
        HOME=str(home), XDG_STATE_HOME="", TMPDIR=str(long), RAY_TMPDIR="",
    )  # fmt: skip
    assert said["cpus"] == [
        "ok", f"0.5 of the machine's {os.cpu_count()}", "Ray counts 1: give a quota of whole CPUs",
    ]  # fmt: skip
    assert said["memory"][1] == "67 MB in /dev/shm"
    assert "--shm-size" in said["memory"][2]
    assert said["temporary"][0] == "ok"
    assert "set TMPDIR to a larger disk: only 0.0 GB free" in said["temporary"][2]
    assert "too long for sockets: Ray's folder is below /tmp" in said["temporary"][2]
    assert said["home"][:2] == ["ok", "no key can be kept: Read-only file system"]
    assert "XDG_STATE_HOME" in said["home"][2]
    assert said["network"][0] == "FAILED"
    assert "ip link set lo up" in said["network"][2]
    assert said["clock"][0] == "ok"


def test_a_clock_that_is_behind() -> None:
    assert machine.check_clock().passed
    found = machine.check_clock(1e9)
    assert found.found == "2001-09-09 01:46 UTC"
    assert "timedatectl" in found.remedy


def test_a_temporary_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert f"{tmp_path}/none cannot be written" in machine.check_temporary_files().hint
