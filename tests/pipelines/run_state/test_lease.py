"""Two drivers: the second is refused; a dead one is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.run_state.lease import PATH, Lease, _machine, _process_start


def lease(storage: Storage, expiry_s: float = 0.6) -> Lease:
    return Lease(storage, heartbeat_s=0.1, expiry_s=expiry_s).acquire()


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    root = str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket") + "/o"
    return Storage(root)


def test_the_second_driver_is_refused_and_named(storage: Storage) -> None:
    with lease(storage), pytest.raises(UsageError, match=f"process {os.getpid()} on"):
        lease(storage)
    assert not storage.exists(PATH)


def test_after_an_orderly_end_the_next_starts_at_once(storage: Storage) -> None:
    with lease(storage):
        pass
    with lease(storage, expiry_s=60) as second:
        second.check()


def test_what_this_process_could_not_give_back_is_taken_at_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OSError("storage is away")

    with monkeypatch.context() as patch, lease(storage):
        patch.setattr(Storage, "delete", away)
    assert storage.exists(PATH)
    with lease(storage, expiry_s=60) as second:
        assert not second.waited


def test_a_killed_driver_of_this_machine_is_replaced_at_once(storage: Storage) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    holder = {"driver": "x", "machine": _machine(), "pid": process.pid, "process_start": "1"}
    storage.put(PATH, json.dumps({**holder, "beat": 1.0}).encode())
    begun = time.monotonic()
    with lease(storage, expiry_s=60):
        assert time.monotonic() - begun < 10


def test_a_killed_driver_that_nobody_waited_for_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert _process_start(process.pid)
    process.kill()
    deadline = time.monotonic() + 10
    while _process_start(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _process_start(process.pid) == ""  # a zombie until the next line
    process.wait()


def test_a_silent_driver_elsewhere_is_replaced_after_its_time(storage: Storage) -> None:
    holder = {"driver": "x", "machine": "another", "pid": 1, "host": "h", "beat": 1.0}
    storage.put(PATH, json.dumps(holder).encode())
    with lease(storage) as taken:
        assert taken.waited


def test_a_driver_that_lost_its_lease_stops(storage: Storage) -> None:
    with lease(storage) as first:
        storage.put(PATH, json.dumps({"driver": "other", "beat": 2.0}).encode())
        deadline = time.monotonic() + 10
        with pytest.raises(RunFailed, match="took over"):
            while time.monotonic() < deadline:
                first.check()
                time.sleep(0.02)
    assert storage.exists(PATH)  # the other driver's lease is not ours to remove


@pytest.mark.parametrize(
    "holder",
    [b"[" * 60_000, b"[]", b'{"pid": "1", "beat": NaN}', b'{"pid": []}',
     b'{"machine": {}, "beat": {}, "host": "\\u001b[2J"}'],
)  # fmt: skip
def test_a_lease_that_is_none_is_taken_over(storage: Storage, holder: bytes) -> None:
    storage.put(PATH, holder.replace(b'{"pid"', f'{{"machine": "{_machine()}", "pid"'.encode()))
    with lease(storage, expiry_s=0.2) as mine:
        mine.check()
    assert not storage.exists(PATH)
