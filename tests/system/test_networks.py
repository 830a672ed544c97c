"""Networks that are odd or go away: namespaces stand for machines, and a head of Ray is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.run_state.status import read_status, verify

RAY = Path(sys.executable).with_name("ray")
ROOT = Path(__file__).parents[2]
RUN = (sys.executable, "-m", "pipelines.cli", "run", "tts")

pytestmark = pytest.mark.slow
needs_namespaces = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="a network of its own needs root, unshare and ip",
)


def run_command(folder: Path, rows: int, *more: str) -> list[str]:
    manifest = folder / "texts.txt"
    manifest.write_text("\n".join(f"one two three {row}" for row in range(rows)))
    few = ("--model", "tiny", "--set", "sampling.max_frames=30", "--set", "unit_rows=2", "--json")
    own = ("--executor", "ray")  # so few rows take none by themselves
    return [*RUN, str(manifest), str(folder / "out"), *few, *own, *more]


def in_namespaces(flags: str, before: str, command: list[str]) -> tuple[dict[str, object], str]:
    """The last event of a run in namespaces of its own, and what it wrote to stderr."""
    ran = subprocess.run(
        ["unshare", flags, "sh", "-c", f'{before} exec "$@"', "sh", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    return json.loads(ran.stdout.splitlines()[-1]), ran.stderr


@needs_namespaces
def test_without_a_loopback_ray_is_not_waited_for(tmp_path: Path) -> None:
    event, said = in_namespaces("-n", "", run_command(tmp_path, 2))
    assert (event["event"], event["cause"], event["goes_on"]) == ("stopped", "ray_start", False)
    assert "cannot connect to itself at 127.0.0.1" in said
    assert "`ip link set lo up`" in said
    assert len(said.splitlines()) == 1


@needs_namespaces
def test_a_loopback_a_dead_proxy_and_little_shared_memory_are_enough(tmp_path: Path) -> None:
    before = (
        "ip link set lo up && mount -t tmpfs -o size=64m tmpfs /dev/shm && "
        "export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 && "
    )
    event, said = in_namespaces("-mn", before, run_command(tmp_path, 2))
    assert (event["event"], event["ok"], event["errors"]) == ("end", 2, 0), said


class Head:
    """A head of Ray, in processes of its own."""

    def __init__(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        self.folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        started = Path(self.folder, "ray_current_cluster")
        started.unlink(missing_ok=True)
        command = (
            f"{RAY} start --head --port={self.port} --num-cpus=2 --temp-dir={self.folder} --block "
            "--object-store-memory=100000000 --disable-usage-stats --include-dashboard=false"
        )
        self.process = subprocess.Popen(
            command.split(), env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while not started.exists():  # the last that it writes: a driver can join from here on
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill all of its processes, which are those of its session."""
        for folder in Path("/proc").glob("[0-9]*"):
            number = int(folder.name)
            try:
                if os.getsid(number) == self.process.pid and number != self.process.pid:
                    os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.kill()
        self.process.wait()


@pytest.fixture
def head() -> Iterator[Head]:
    made = Head()
    yield made
    made.kill()
    shutil.rmtree(made.folder, ignore_errors=True)


def until_the_head_dies(command: list[str], out: Path, head: Head) -> tuple[int, str, str]:
    """Exit code and output of a run whose head is killed when a unit is committed."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while running.poll() is None and not list(out.glob("_log/units/*")):
        time.sleep(0.1)
    head.kill()
    printed, said = running.communicate(timeout=120)
    return running.returncode, printed, said


def test_a_head_that_dies_ends_the_run_which_goes_on(tmp_path: Path, head: Head) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    command = run_command(tmp_path, 60, "--address", head.address)
    code, out, said = until_the_head_dies(command, tmp_path / "out", head)
    if not said:  # Ray may end a driver first, on a busy machine, which nothing can catch
        shutil.rmtree(tmp_path / "out")
        head.start()
        code, out, said = until_the_head_dies(command, tmp_path / "out", head)
    event = json.loads(out.splitlines()[-1])
    assert event.get("cause") == "ray_lost", f"{code} {out} {said}"
    assert (event["event"], event["goes_on"]) == ("stopped", True)
    assert code == event["exit_code"] == 1
    assert said == f"stopped: {event['message']}\n"
    before = read_status(str(tmp_path / "out"))
    assert 0 < before.ok < 60 and before.errors == 0
    head.start()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert json.loads(again.stdout.splitlines()[-1])["ok"] == 60, again.stderr
    assert verify(str(tmp_path / "out")) == []
