"""Who reaches this machine, or works on it as somebody else, gets nothing of a job that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from pipelines.executor.private_ray import PREFIX

NOBODY = 65534
# what an outsider would do: join, and run a task as the one whose Ray it is
JOIN = """
import argparse, optparse, os, sys, ray, psutil
from ray._private import node, services  # what is imported late could not be read any more
BECOME
try:
    ray.init(address=sys.argv[1], logging_level="CRITICAL", log_to_driver=False)
    task = ray.remote(lambda: "run as " + str(os.getuid()))
    print("JOINED", ray.get(task.remote(), timeout=20))
except BaseException as fault:
    print("REFUSED", type(fault).__name__, fault)
"""
# ... or speak to the ports without Ray, to the folder without the ports
TOUCH = """
import os, sys, pathlib
folder, pid = sys.argv[1:]
BECOME
try:
    print("LISTED", os.listdir(folder))
except PermissionError:
    print("CLOSED")
try:
    print("READ", len(pathlib.Path("/proc", pid, "environ").read_bytes()))
except PermissionError:
    print("HIDDEN")
"""


@pytest.fixture(scope="module")
def job_ray(cluster: None) -> Iterator[dict[str, str]]:
    """Where the private Ray of these tests is, with something at work in it."""
    del cluster
    node = ray._private.worker._global_node  # type: ignore[attr-defined]
    facts = ray.remote(lambda: {"token": os.environ["RAY_AUTH_TOKEN"], "pid": str(os.getpid())})
    yield {
        "address": node.gcs_address,
        "folder": str(Path(node.get_session_dir_path()).parents[1]),
        **ray.get(facts.remote()),
    }


def _outsider(
    code: str, *arguments: str, uid: int | None = None, **env: str
) -> subprocess.Popen[str]:
    """A process that inherits nothing; as another user from its imports on, for that user may not
    be able to read this project's packages."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    become = f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})" if uid else ""
    return subprocess.Popen(
        [sys.executable, "-c", code.replace("BECOME", become), *arguments],
        env={**kept, "HOME": "/nonexistent", **env},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/",
    )  # fmt: skip


def test_nobody_joins_without_the_token(job_ray: dict[str, str]) -> None:
    beat = ray.remote(lambda: 7)
    users = [None, NOBODY] if os.geteuid() == 0 else [None]
    modes = [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}]
    outsiders = [
        _outsider(JOIN, job_ray["address"], uid=uid, **mode) for uid in users for mode in modes
    ]
    said = [outsider.communicate(timeout=120)[0].strip() for outsider in outsiders]
    assert [line.split()[:1] for line in said] == [["REFUSED"]] * len(outsiders), said
    assert all(line.split()[1] in ("ConnectionError", "AuthenticationError") for line in said), said
    assert ray.get(beat.remote()) == 7  # and whoever it belongs to goes on


def test_with_the_token_one_would_join(job_ray: dict[str, str]) -> None:
    """The attack is a real one: only the token keeps it out."""
    mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": job_ray["token"]}
    said = _outsider(JOIN, job_ray["address"], **mode).communicate(timeout=120)[0]
    assert said.split() == ["JOINED", "run", "as", str(os.getuid())]


def test_another_user_finds_the_folder_closed(job_ray: dict[str, str]) -> None:
    folder = Path(job_ray["folder"])
    assert folder.name.startswith(PREFIX)
    assert folder.stat().st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        found = _outsider(TOUCH, str(folder), job_ray["pid"], uid=NOBODY).communicate()[0]
        assert found.split() == ["CLOSED", "HIDDEN"]


def test_the_token_is_nowhere_but_in_its_processes(job_ray: dict[str, str]) -> None:
    token = job_ray["token"]
    assert len(token) == 64
    assert token not in os.environ.values()
    assert "RAY_AUTH_MODE" not in os.environ
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token.encode() not in path.read_bytes(), path
        except OSError:
            continue
    files = [path for path in Path(job_ray["folder"]).rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if token.encode() in path.read_bytes()] == []
