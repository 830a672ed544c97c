"""What is odd about this machine: each oddity that a run notices is a row of `MACHINE`."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.cli.checks.check import Check
from pipelines.executor.network.listeners import loopback_fault

_LITTLE_BYTES = 1 << 30
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - looked at, not written
_DAY_S = 86_400.0


def check_cpus() -> Check:
    """CPUs as a quota leaves them; Ray counts whole ones."""
    from pipelines.executor.ray_internals import counted_cpus

    cpus = counted_cpus()
    found = f"{cpus:g} of the machine's {os.cpu_count()}"
    if cpus == int(cpus):
        return Check("cpus", found)
    return Check("cpus", found, hint=f"Ray counts {max(int(cpus), 1)}: give a quota of whole CPUs")


def check_shared_memory(folder: str = _SHARED_MEMORY) -> Check:
    """There is room for what Ray's processes hand to each other."""
    size = shutil.disk_usage(folder).total if os.path.isdir(folder) else 0
    found = f"{size / 1e6:.0f} MB in {folder}"
    if size >= _LITTLE_BYTES:
        return Check("memory", found)
    hint = "Ray takes files in their place, which is slower: give more (`docker run --shm-size=4g`)"
    return Check("memory", found, hint=hint)


def check_temporary_files() -> Check:
    """There is room for temporary files, and Ray's sockets have a place near them."""
    from pipelines.executor.private_ray import folders_for_ray

    folder = tempfile.gettempdir()
    found, little = free_in(folder)
    asked = os.environ.get("TMPDIR", folder)
    problems = [
        *([f"TMPDIR {asked} cannot be written, {folder} takes its place"]
          if os.path.abspath(asked) != folder else []),
        *([f"its path is too long for sockets: Ray's folder is below {folders_for_ray()[0]}"]
          if folder not in folders_for_ray() else []),
    ]  # fmt: skip
    hint = "; ".join((*([f"set TMPDIR to a larger disk: {little}"] if little else []), *problems))
    return Check("temporary", f"{folder}: {found}", hint=hint)


def check_home() -> Check:
    """There is a place for the key that tells one's own OUTPUTs."""
    from pipelines.run_state.seals import key_fault, key_path

    fault = key_fault()
    if not fault:
        return Check("home", f"{key_path()}: the key that marks OUTPUTs as this user's is kept")
    hint = (
        "every run has a key of its own, so that `retry` and `report` take its OUTPUT for a "
        "stranger's: set XDG_STATE_HOME to a folder that this user can write and that stays"
    )
    return Check("home", f"no key can be kept: {fault}", hint=hint)


def check_loopback() -> Check:
    """This machine can connect to itself, as Ray's processes do."""
    fault = loopback_fault()
    if fault:
        remedy = (
            "turn the loopback interface on (`ip link set lo up`), or take `--executor inline`, "
            "which needs no network"
        )
        return Check("network", f"127.0.0.1: {fault}", remedy)
    return Check("network", "127.0.0.1 answers")


def check_clock(now_s: float | None = None) -> Check:
    """The clock is not behind the day on which this program was installed.

    Args:
        now_s: seconds since 1970; None asks the clock.
    """
    now_s = time.time() if now_s is None else now_s
    found = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    installed_s = Path(__file__).stat().st_mtime
    if now_s > installed_s - _DAY_S:
        return Check("clock", found)
    remedy = (
        "it is behind the day on which this program was installed: set it (`timedatectl set-ntp "
        "true`); stores and https refuse whose time is wrong"
    )
    return Check("clock", found, remedy)


def free_in(folder: str) -> tuple[str, str]:
    """How much is free in a folder, in words, and a warning where that is little."""
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free"
    return found, f"only {found}" if free < _LITTLE_BYTES else ""


MACHINE: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("cpus", check_cpus),
    ("memory", check_shared_memory),
    ("temporary", check_temporary_files),
    ("home", check_home),
    ("network", check_loopback),
    ("clock", check_clock),
)
