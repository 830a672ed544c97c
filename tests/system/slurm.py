"""A cluster of Slurm on this machine, of two nodes, for a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_STARTS_S = 60.0
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/pgid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=p Nodes=n1,n2 Default=YES
"""


class Slurm:
    """Two nodes and who gives them work.

    Attributes:
        folder: its files, and what jobs print.
        environment: for its commands, and of its jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        ours = {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": str(ROOT)}
        self.environment = {**os.environ, **ours}

    def say(self, *command: object, timeout_s: float = 60) -> str:
        """What a command prints."""
        done = subprocess.run(
            [*map(str, command)], env=self.environment, cwd=ROOT, capture_output=True, text=True,
            timeout=timeout_s,
        )  # fmt: skip
        return (done.stdout + done.stderr).strip()

    def submit(self, *arguments: object) -> str:
        """The number of a job."""
        told = self.say("sbatch", "--parsable", f"--output={self.folder}/%j.out", *arguments)
        assert told.isdigit(), told
        return told

    def printed(self, job: str) -> str:
        """What a job has printed."""
        file = self.folder / f"{job}.out"
        return file.read_text() if file.exists() else ""

    def facts(self, job: str) -> dict[str, str]:
        """What Slurm knows of a job, such as ``JobState`` and ``ExitCode``."""
        words = self.say("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def await_it(self, happens: Callable[[], object], job: str, limit_s: float = 240) -> None:
        """Wait for what a job does."""
        until = time.monotonic() + limit_s
        while not happens():
            assert time.monotonic() < until, f"{self.facts(job)}\n{self.printed(job)}"
            time.sleep(0.5)

    def end_of(self, job: str, limit_s: float = 240) -> dict[str, str]:
        """What Slurm knows of a job that has ended."""
        over = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
        self.await_it(lambda: self.facts(job).get("JobState") in over, job, limit_s)
        return self.facts(job)


@contextmanager
def slurm() -> Iterator[Slurm]:
    """A cluster in the foreground, of this process's user, who is root."""
    made = Slurm(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))
    for program in _PROGRAMS:
        if shutil.which(program, path=made.environment["PATH"]) is None:
            pytest.skip(f"{program} is not installed (Debian: slurm-wlm)")
    if os.getuid() != 0:
        pytest.skip("a cluster of Slurm of one's own needs root")
    folder = made.folder
    folder.chmod(0o711)
    for name in ("munge", "state", "spool-n1", "spool-n2"):
        (folder / name).mkdir(mode=0o711)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    words = {"host": socket.gethostname(), "folder": folder, "ports": _ports(3)}
    (folder / "slurm.conf").write_text(_CONFIGURATION.format(**words))
    munge = folder / "munge"
    daemons = (
        f"munged --foreground --key-file={key} --socket={munge}/socket --pid-file={munge}/pid "
        f"--log-file={munge}/log --seed-file={munge}/seed",
        "slurmctld -D", "slurmd -D -N n1", "slurmd -D -N n2",
    )  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            name = "-".join(command.split()[::3][:2]).replace("/", "_")[:40]
            with (folder / f"{name}-{len(started)}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        command.split(), env=made.environment, stdout=log, stderr=log,
                        start_new_session=True,
                    )
                )  # fmt: skip
            time.sleep(1)
        until = time.monotonic() + _STARTS_S
        while made.say("sinfo", "-h", "-o", "%D %t") != "2 idle":
            assert time.monotonic() < until, made.say("sinfo")
            time.sleep(0.5)
        yield made
        made.say("scancel", "--user=root", "--signal=KILL", "--full")
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found
