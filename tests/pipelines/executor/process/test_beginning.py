from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.executor.process.beginning import Beginning

_DRIVER = """
import os, sys
from pipelines.executor.process.beginning import Beginning
print(Beginning().process.pid, flush=True)
sys.stdin.read()
os._exit(0)
"""


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_worker_ends_with_its_driver() -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[4],
    )  # fmt: skip
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    assert is_alive(worker)
    driver.kill()
    driver.wait()
    driver.stdout.close()
    for _ in range(600):
        if not is_alive(worker):
            break
        time.sleep(0.1)
    assert not is_alive(worker)


def test_it_has_no_secrets_and_searches_where_its_driver_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2")
    begun = Beginning()
    try:
        environment = Path(f"/proc/{begun.process.pid}/environ").read_bytes()
        assert b"hunter2" not in environment
        assert os.environ["SOME_API_KEY"] == "hunter2"
        assert begun.process.poll() is None
    finally:
        begun.end()
    assert begun.process.poll() is not None
