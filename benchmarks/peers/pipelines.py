"""Transcription from storage to storage, ours and scripts that a user would write, in turns.

Ours is gone two ways: as a run chooses by itself, and with `--executor processes`.

Each way is a command in a process of its own, by the same model objects on the same clips. One more
run of each is killed in the middle and then started again: what can be read in between, and what
there is in the end.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.beside import load
from benchmarks.pipeline import speech_manifest
from benchmarks.start_processes import memory_mib
from pipelines.run_state.commit_log import committed_parts

_HERE = Path(__file__).parents[2]
_LOOK_S = 0.5
_ORPHANS_S = 10.0
_LONGEST_S = 1200.0
_MIDDLE = 0.75  # of a run's processor time, the first part of which is its start
_MARK = "UNIAUDIO2_RUN_MARK"
_OURS = {"ours": "auto", "processes": "processes"}  # executors
WAYS = {**_OURS, "ray": "plain_ray.py", "daft": "plain_daft.py"}


@dataclass(frozen=True)
class Ran:
    """A command that ended, or was ended.

    Attributes:
        wall_s: from its start to its end.
        peak_mib: the most that all its processes had together (proportional memory).
        processor_s: of all its processes that were seen; those that live for less than half a
            second may be missing.
    """

    wall_s: float
    peak_mib: float
    processor_s: float


@dataclass(frozen=True)
class Left:
    """Rows that a reader finds: in all, and how many of them are there more than once."""

    rows: int
    twice: int


def command(way: str, manifest: Path, output: Path) -> list[str]:
    """What a user types."""
    if way not in _OURS:
        path = Path(__file__).with_name(WAYS[way])
        return [sys.executable, str(path), str(manifest), str(output), str(os.cpu_count())]
    program = [sys.executable, "-c", "from pipelines.cli import main; main()"]
    options = ["--executor", _OURS[way], "--quiet"]
    return [*program, "run", "asr", str(manifest), str(output), *options]


def missing() -> dict[str, str]:
    """Ways that cannot be gone here, and why."""
    if importlib.util.find_spec("daft") is not None:
        return {}
    return {"daft": "daft is not installed (`pip install daft`; no dependency of the project)"}


def _marked(mark: str) -> dict[int, float]:
    """Processes with a mark in their environment, and the processor seconds of each."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # it ended, or is another user's
            if mark.encode() in (process / "environ").read_bytes():
                ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
                found[int(process.name)] = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return found


def run_command(words: Sequence[str], folder: Path, kill_after_s: float = inf) -> Ran:
    """Run a command, or kill it.

    Args:
        words: the command.
        folder: its mark, and where it keeps a user's state.
        kill_after_s: after so many processor seconds its first process gets SIGKILL.

    Raises:
        RuntimeError: it failed, or took longer than twenty minutes.
    """
    environment = {**os.environ, _MARK: str(folder), "XDG_STATE_HOME": str(folder / "state")}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(_HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    begun, peak = time.monotonic(), 0.0
    spent: dict[int, float] = {}
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(  # noqa: S603 - commands of this file
            words, env=environment, stdout=said, stderr=said, cwd=folder, start_new_session=True
        )
    try:
        while process.poll() is None:
            if time.monotonic() - begun > _LONGEST_S:
                raise RuntimeError(f"{words[1:3]} was not done in {_LONGEST_S:.0f} s")
            peak = max(peak, memory_mib(str(folder)))
            spent |= _marked(str(folder))
            if sum(spent.values()) > kill_after_s:
                break
            time.sleep(_LOOK_S)
    finally:
        wall_s = time.monotonic() - begun
        if process.poll() is None:
            process.kill()
        process.wait()
        _end_orphans(str(folder))
    if kill_after_s == inf and process.returncode:
        told = (folder / "said.txt").read_text()[-500:]
        raise RuntimeError(f"{words[1:3]} ended with {process.returncode}: {told}")
    return Ran(wall_s, peak, sum(spent.values()))


def _end_orphans(mark: str) -> None:
    """Give processes whose driver is gone some time to notice, then end those that are left."""
    until = time.monotonic() + _ORPHANS_S
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def left_by(way: str, output: Path) -> Left:
    """What a reader of an output finds: of ours what is committed, of others all files there."""
    if not output.exists():
        return Left(0, 0)
    if way in _OURS:
        parts = [output / part for part in committed_parts(str(output))]
    else:
        parts = sorted(output.rglob("*.parquet"))
    ids: list[str] = []
    for part in parts:
        ids += map(str, pq.read_table(part, columns=["id"]).column(0).to_pylist())
    return Left(len(ids), len(ids) - len(set(ids)))


def _killed(
    way: str, manifest: Path, folder: Path, kill_after_s: float
) -> tuple[Left, Left, float]:
    """Kill a run in the middle, then give the command again: what was left, what there is then,
    and the second run's seconds."""
    output = folder / "killed"
    words = command(way, manifest, output)
    run_command(words, folder, kill_after_s=kill_after_s)
    before = left_by(way, output)
    again = run_command(words, folder)
    return before, left_by(way, output), again.wall_s


def run(rows: int, rounds: int, ways: Sequence[str] = tuple(WAYS)) -> Mapping[str, float]:
    """Measure and print; returns the figures by name.

    Args:
        rows: clips of the bundled speech.
        rounds: how often each way is gone, in turns.
        ways: of `WAYS`; those that are not possible here are told and left out.
    """
    why_not = missing()
    for way in filter(why_not.get, ways):
        print(f"left out: {way}: {why_not[way]}")
    ways = [way for way in ways if way not in why_not]
    ran: dict[str, list[Ran]] = {way: [] for way in ways}
    figures: dict[str, float] = {"peers.rows": rows}
    with tempfile.TemporaryDirectory() as scratch:
        manifest = speech_manifest(Path(scratch), rows)
        for turn in range(rounds):
            for way in ways:
                folder = Path(scratch, f"{way}-{turn}")
                folder.mkdir()
                ran[way].append(run_command(command(way, manifest, folder / "out"), folder))
                if (left := left_by(way, folder / "out")) != Left(rows, 0):
                    raise RuntimeError(f"{way} made {left} of {rows} rows")
                shutil.rmtree(folder)
        print(f"asr, nano, {rows} clips, {rounds} rounds in turns, {load()}")
        head = ("rows/s", "s", "CPU s", "MiB", "killed: left", "twice", "then rows", "twice", "s")
        print(f"{'':10}" + "".join(f"{word:>13}" for word in head))
        for way in ways:
            wall_s, mib, cpu_s = (
                statistics.median(getattr(one, name) for one in ran[way])
                for name in ("wall_s", "peak_mib", "processor_s")
            )
            folder = Path(scratch, f"{way}-killed")
            folder.mkdir()
            half, whole, again_s = _killed(way, manifest, folder, _MIDDLE * cpu_s)
            line = (rows / wall_s, wall_s, cpu_s, mib, half.rows, half.twice, whole.rows,
                    whole.twice, again_s)  # fmt: skip
            print(f"{way:10}" + "".join(f"{value:>13.1f}" for value in line), flush=True)
            names = ("rows_per_s", "wall_s", "processor_s", "peak_mib", "left_rows", "left_twice",
                     "again_rows", "again_twice", "again_s")  # fmt: skip
            figures |= {
                f"peers.{way}_{name}": value for name, value in zip(names, line, strict=True)
            }
    return figures | _ratios(ran)


def _ratios(ran: Mapping[str, Sequence[Ran]]) -> dict[str, float]:
    """How many times our time each of the others took, round by round, and the least of it."""
    figures: dict[str, float] = {}
    others = [way for way in ran if way not in _OURS]
    for own in [way for way in ran if way in _OURS]:
        prefix = "peers." if own == "ours" else f"peers.{own}_"
        for way in others:
            for name, unit in {"wall_s": "", "processor_s": "cpu_"}.items():
                figures[f"{prefix}{way}_{unit}ratio"] = statistics.median(
                    getattr(theirs, name) / getattr(ours, name)
                    for ours, theirs in zip(ran[own], ran[way], strict=True)
                )
            wall, cpu = figures[f"{prefix}{way}_ratio"], figures[f"{prefix}{way}_cpu_ratio"]
            print(f"{way}: {wall:.2f} times the seconds of {own}, {cpu:.2f} times the processor's")
        if others:
            least = min(figures[f"{prefix}{way}_ratio"] for way in others)
            figures[f"{prefix}pipeline_ratio"] = least
    return figures
