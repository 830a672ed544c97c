"""A Ray that belongs to this process alone, on a machine and a network that others use too.

Ray's servers (GCS, raylet, every worker, the driver) listen on all interfaces, whatever address
they are told, and its session folder is open to every user of the machine. So a private Ray gets

- a random token, which every call to any of these servers must bring. It is in the environment of
  Ray's own processes and nowhere else: not in this process's environment, no file, no log;
- a folder of its own that nobody else may enter, for its sockets and logs;
- the environment without the secrets that no stage can need.

Measured with Ray 2.60: docs/security.md.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from pipelines.causes import RAY_START, stopped
from pipelines.executor.network.withheld import is_withheld
from pipelines.executor.ray_internals import read_token

PREFIX = "ua2-ray-"
_TOKEN_BYTES = 32
# a socket's path has at most 107 bytes; below its folder Ray needs so many
_SOCKET_BYTES, _RAYS_BYTES = 107, 74
_LEAST_BYTES = 32 << 20  # of sockets and logs
_FALLBACKS = ("/tmp", "/var/tmp")  # noqa: S108 - a folder of our own is made there
_ALIVE, _RAYS = "driver.lock", "r"
_FOLDERS: list[Path] = []  # of this process


def start_private_ray(**options: Any) -> None:
    """Start a Ray that only this process can use; `ray.shutdown` ends it, as does our own end.

    Args:
        options: for `ray.init`.

    Raises:
        RunFailed: no folder can be made for it.
    """
    folder = _own_folder()
    with ray_environment(secrets.token_hex(_TOKEN_BYTES)):
        read_token()
        ray.init(
            address="local",
            include_dashboard=False,
            _temp_dir=str(folder / _RAYS),  # which Ray opens to everyone, below one that is closed
            **options,
        )


def newest_session() -> Path | None:
    """The folder of the session that this process's last private Ray began; None without one."""
    if not _FOLDERS:
        return None
    latest = _FOLDERS[-1] / _RAYS / "session_latest"
    return latest if latest.exists() else None


@contextmanager
def ray_environment(token: str) -> Iterator[None]:
    """This process's environment as Ray's processes inherit it: with a token, without other
    secrets; afterwards it is as it was.

    The driver's own half of Ray, which is in this process, has read the token by then and keeps it.
    """
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    hidden = {name for name, value in os.environ.items() if is_withheld(name, value)} | {
        "RAY_AUTH_TOKEN_PATH"
    }
    before = {name: os.environ.get(name) for name in (*ours, *hidden)}
    for name in hidden:
        os.environ.pop(name, None)
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _asked_folder() -> str:
    return os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()


def folders_for_ray() -> list[str]:
    """Folders below which Ray's own may be, best first: their paths are short enough."""
    most = _SOCKET_BYTES - _RAYS_BYTES - len(PREFIX) - 9
    asked = dict.fromkeys((_asked_folder(), *_FALLBACKS))
    return [base for base in asked if len(os.fsencode(base)) <= most]


def _own_folder() -> Path:
    """A folder that only this user can enter, with a path short enough for Ray's sockets; it goes
    when this process ends."""
    asked = _asked_folder()
    for base in folders_for_ray():
        _sweep(Path(base))
        try:
            if shutil.disk_usage(base).free < _LEAST_BYTES:
                continue
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))  # mode 0700
        except OSError:
            continue
        if not _takes_sockets(folder):  # as exFAT
            shutil.rmtree(folder, ignore_errors=True)
            continue
        _mark_alive(folder)
        atexit.register(_remove, folder)
        _FOLDERS.append(folder)
        return folder
    raise stopped(
        RAY_START,
        f"it needs a folder for its sockets below {asked}, /tmp or /var/tmp, and none can be made "
        "there with a path that is short enough and with room",
        "set RAY_TMPDIR to a short path",
    )


def _takes_sockets(folder: Path) -> bool:
    path = folder / "socket"
    try:
        with socket.socket(socket.AF_UNIX) as ear:
            ear.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True


def _mark_alive(folder: Path) -> None:
    """Lock a file in the folder until this process is gone; it appears there as a locked one."""
    new = folder / f".{_ALIVE}"
    lock = os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(folder / _ALIVE)


def _remove(folder: Path) -> None:
    if ray.is_initialized():  # this runs before Ray's own handler, and what is in use must not go
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove folders of this user whose processes are gone without having done so."""
    for folder in base.glob(PREFIX + "*"):
        with suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or folder.is_symlink():
                continue
            lock = os.open(folder / _ALIVE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
