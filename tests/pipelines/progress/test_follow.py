"""Runs that another process drives are followed through their OUTPUT alone, to their true end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.progress.follow import Follower, follow
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.lease import PATH, Lease
from tests.pipelines.committed import make_output

ROOT = Path(__file__).parents[3]
CLI = [sys.executable, "-m", "pipelines.cli"]
HOLDER = {"driver": "x", "machine": "another", "pid": 7, "host": "far"}


def as_running(output: str, **changes: Any) -> Storage:
    """The OUTPUT of a run that has not ended; `changes` of its ``run.json``."""
    make_output(output, "asr", [{"id": "a", "audio": "a.wav"}], [torch.zeros(24)], ["y"])
    commit_log = CommitLog(Storage(output))
    facts = commit_log.read_run()
    assert facts is not None
    commit_log.write_run({**facts, "state": "running", **changes})
    return commit_log.storage


def finish(storage: Storage) -> None:
    commit_log = CommitLog(storage)
    commit_log.write_run({**(commit_log.read_run() or {}), "state": "finished"})


def beat(storage: Storage, number: float) -> None:
    storage.put(PATH, json.dumps({**HOLDER, "beat": number}).encode())


def test_a_run_of_another_process_is_followed_to_its_end(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    rows = [json.dumps({"id": str(n), "text": "hi" if n else " "}) for n in range(4)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    command = ["run", "tts", str(tmp_path / "in.jsonl"), output, "--model", "tiny", "--executor",
               "inline", "--set", "sampling.max_frames=20", "--set", "unit_rows=1"]  # fmt: skip
    watch = subprocess.Popen(  # before there is anything to be seen
        [*CLI, "status", output, "--follow"], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run = subprocess.run([*CLI, *command], cwd=ROOT, capture_output=True)
    out, err = watch.communicate(timeout=60)
    assert (run.returncode, watch.returncode, err) == (3, 3, "")
    assert f"{output}: the run has ended" in out
    assert "rows   3 done, 1 errors, 0 left of 4" in out


@pytest.mark.parametrize("place", ["local", "s3"])
def test_with_no_driver_a_run_has_stopped(
    place: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = str(tmp_path) if place == "local" else request.getfixturevalue("bucket")
    storage = as_running(f"{root}/o")
    lease = Lease(storage).acquire()
    timer = threading.Timer(1.0, lambda: lease.__exit__(None, None, None))
    timer.start()
    assert follow(storage.root, "lines", look_every_s=0.05) == 1
    timer.join()
    said = capsys.readouterr()
    assert f"driven by process {os.getpid()} on " in said.out
    assert "the run stopped before its end; the same command" in said.err


def test_of_this_machine_a_killed_driver_is_known_at_once(tmp_path: Path) -> None:
    storage = as_running(str(tmp_path / "o"))
    code = f"from pipelines.run_state.lease import *; Lease(Storage({storage.root!r})).acquire()"
    driver = subprocess.Popen([sys.executable, "-c", f"{code}; time.sleep(60)"], cwd=ROOT)
    while not storage.exists(PATH):
        time.sleep(0.05)
    follower = Follower(storage.root)
    assert follower.look() is None
    driver.kill()
    driver.wait()
    assert follower.look() == "dead"


def test_a_driver_elsewhere_is_judged_by_its_beats(tmp_path: Path) -> None:
    now = [0.0]
    storage = as_running(str(tmp_path / "o"))
    beat(storage, 1.0)
    follower = Follower(storage.root, patience_s=60, clock=lambda: now[0])
    assert follower.look() is None
    assert follower.driver_words() == "driven by process 7 on far"
    now[0] = 30.0
    assert follower.look() is None
    assert follower.driver_words() == "process 7 on far seems dead: silent for 30.0 s"
    beat(storage, 2.0)  # its storage was away, or it was asleep
    assert follower.look() is None
    assert follower.driver_words() == "driven by process 7 on far"
    now[0] = 91.0
    assert follower.look() == "dead"


def test_speed_is_that_of_what_was_seen(tmp_path: Path) -> None:
    now = [0.0]
    storage = as_running(str(tmp_path / "o"), input={"rows": 11, "units": 4})
    beat(storage, 1.0)
    follower = Follower(storage.root, clock=lambda: now[0])
    follower.look()
    assert follower.snapshot().left_s is None
    CommitLog(storage).clear()
    rows = [{"id": str(n), "audio": "a.wav"} for n in range(6)]
    make_output(storage.root, "asr", rows, [torch.zeros(24)] * 6, ["y"] * 6)
    as_is = CommitLog(storage).read_run() or {}
    CommitLog(storage).write_run({**as_is, "state": "running", "input": {"rows": 11, "units": 4}})
    now[0] = 10.0
    follower.look()
    at = follower.snapshot()
    assert (at.rows, at.done) == (11, follower.status.ok if follower.status else -1)
    assert at.rows_per_s == pytest.approx((at.done - 1) / 10)
    assert at.left_s == pytest.approx((11 - at.done) / at.rows_per_s)


def test_what_never_begins_is_told(tmp_path: Path) -> None:
    now = [0.0]
    follower = Follower(str(tmp_path / "o"), patience_s=60, clock=lambda: now[0])
    assert follower.look() is None
    assert follower.driver_words() == "no driver is at work there yet"
    now[0] = 61.0
    assert follower.look() == "absent"
    assert not (tmp_path / "o").exists()  # following writes nothing


def test_a_store_that_does_not_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = as_running(str(tmp_path / "o"))
    finish(storage)
    real, times = Storage.read, iter(range(2))

    def away(*arguments: Any) -> bytes:
        if next(times, None) is not None:
            raise OSError("no route to it")
        return real(*arguments)

    monkeypatch.setattr(Storage, "read", away)
    assert follow(storage.root, "lines", look_every_s=0.01) == 0
    assert "storage does not answer: no route to it; asking again" in capsys.readouterr().out
    monkeypatch.setattr(Storage, "read", lambda *_: (_ for _ in ()).throw(OSError("none")))
    with pytest.raises(RunFailed, match=r"did not answer for .* is not touched"):
        follow(storage.root, "lines", look_every_s=0.01, patience_s=0.05)


def test_events_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = as_running(str(tmp_path / "o"))
    finish(storage)
    assert follow(storage.root, "json", look_every_s=0.01) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["progress", "end"]
    assert (events[-1]["end"], events[-1]["exit_code"], events[-1]["ok"]) == ("finished", 0, 1)


def test_in_a_terminal_it_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = as_running(str(tmp_path / "o"))
    beat(storage, 1.0)
    threading.Timer(0.4, lambda: (finish(storage), storage.delete(PATH))).start()
    assert follow(storage.root, "live", look_every_s=0.05) == 0
    assert "driven by process 7 on far" in capsys.readouterr().out


def test_ctrl_c_leaves_the_run_alone(tmp_path: Path) -> None:
    storage = as_running(str(tmp_path / "o"))
    with Lease(storage, heartbeat_s=0.1).acquire() as lease:
        watch = subprocess.Popen(
            [*CLI, "status", storage.root, "--follow"], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watch.stdout is not None
        assert watch.stdout.readline().startswith("driven by")
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=20)
        assert (watch.returncode, err) == (130, "left; the run goes on\n")
        lease.check()
        assert storage.exists(PATH)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UsageError, match="is not a run record"):
        follow(str(tmp_path), "lines")
    with pytest.raises(UsageError, match="Protocol not known"):
        follow("weird://out", "lines")
