"""A private Ray's environment and folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.executor.network.withheld import is_withheld
from pipelines.executor.private_ray import (
    PREFIX,
    _own_folder,
    _sweep,
    folders_for_ray,
    ray_environment,
)


@pytest.mark.parametrize(
    ("name", "withheld"),
    [
        ("GITHUB_TOKEN", True),
        ("OPENAI_API_KEY", True),
        ("DB_PASSWORD", True),
        ("MAIL_CREDENTIALS", True),
        *(
            (name, True)
            for name in (
                "PGPASSWORD",
                "MYSQL_PWD",
                "SSHPASS",
                "OPENAI_KEY",
                "SSH_KEY",
                "SECRETKEY",
                "DBPASSWORD",
                "MYTOKEN",
                "AUTHTOKEN",
                "NPM_AUTHTOKEN",
                "GITHUB_PAT",
                "CI_JOB_JWT",
                "SENTRY_DSN",
                "RESTIC_PASSWORD2",
                "RAY_MY_SECRET",
            )
        ),
        ("PWD", False),
        ("OLDPWD", False),
        ("HTTPS_PROXY", False),
        ("RAY_TMPDIR", False),
        ("KEYBOARD", False),
        ("PATHS", False),
        ("XDG_SESSION_ID", False),
        ("AWS_SECRET_ACCESS_KEY", False),
        ("HF_TOKEN", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", False),
        ("AZURE_STORAGE_ACCOUNT_KEY", False),
        ("PATH", False),
        ("CUDA_VISIBLE_DEVICES", False),
        ("TOKENIZERS_PARALLELISM", False),
    ],
)
def test_what_ray_does_not_inherit(name: str, withheld: bool) -> None:
    assert is_withheld(name) is withheld


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    before = dict(os.environ)
    with ray_environment("t" * 64):
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert os.environ["RAY_AUTH_TOKEN"] == "t" * 64
        assert "GITHUB_TOKEN" not in os.environ
    assert dict(os.environ) == before


def test_a_long_tmpdir_is_left_for_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    folder = _own_folder()
    assert folder.parent in (Path("/tmp"), Path("/var/tmp"))  # noqa: S108
    assert folder.stat().st_mode & 0o777 == 0o700


def test_folders_of_the_dead_go_and_those_of_the_living_stay() -> None:
    # pytest's own folders have too long a path for a socket
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        _check_sweeping(Path(folder))


def _check_sweeping(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pipelines.executor.private_ray import _own_folder;"
        "print(_own_folder());"
    )
    env = {**os.environ, "RAY_TMPDIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", code + "sys.stdout.flush(); os.kill(os.getpid(), 9)"],
        env=env, capture_output=True, text=True,
    )  # fmt: skip
    dead = Path(killed.stdout.strip())
    assert dead.parent == tmp_path
    assert dead.is_dir()
    with subprocess.Popen(
        [sys.executable, "-c", code + "sys.stdout.flush(); input()"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as living:  # fmt: skip
        assert living.stdout
        alive = Path(living.stdout.readline().strip())
        stranger = tmp_path / f"{PREFIX}link"
        stranger.symlink_to(tmp_path.parent)
        _sweep(tmp_path)
        assert (dead.exists(), alive.is_dir(), stranger.is_symlink()) == (False, True, True)
        living.communicate("\n")
    assert not alive.exists()  # its own end took it away


def test_an_address_with_a_login_is_a_secret_whatever_its_name() -> None:
    assert is_withheld("DATABASE_URL", "postgres://me:pw@db/x")
    assert not is_withheld("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert not is_withheld("DATABASE_URL", "postgres://db/x")


def test_a_full_tmpdir_is_left_for_one_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="f") as full:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user may not mount a small disk")
        try:
            monkeypatch.setenv("RAY_TMPDIR", full)
            assert folders_for_ray()[0] == full
            assert _own_folder().parent != Path(full)
        finally:
            subprocess.run(["umount", full], check=True)
