"""Give a complete file its name only if nothing has that name, on disks of every kind.

Three ways, each taken where the one before it is not there:

- a hard link, which POSIX refuses where the name is taken;
- a rename that replaces nothing (Linux' ``RENAME_NOREPLACE``): exFAT and FAT of the kernel, SMB;
- a look and a rename under a lock of the folder: FUSE (exfat-fuse, gcsfuse, rclone, Drive),
  VirtualBox. The kernel lets go of the lock when its process ends, however that comes; nothing of
  it is on the disk. It keeps apart the processes of one machine.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import time
from collections.abc import Callable
from typing import Any, Literal

Way = Literal["link", "rename", "lock"]
_NO_REPLACE = 1  # RENAME_NOREPLACE of <linux/fs.h>
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# what file systems and kernels answer that do not know an operation
_NOT_THERE = frozenset((errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EMLINK))
_LOCK_WAIT_S, _LOCK_EVERY_S = 30.0, 0.01


class NoExclusiveNames(OSError):
    """A file system that cannot keep two writers apart."""

    def __init__(self) -> None:
        super().__init__(
            errno.EOPNOTSUPP,
            "its file system has neither hard links nor exclusive renames nor locks, so that two "
            "runs could not be kept apart; take a folder of another disk, and copy it there when "
            "the run has ended",
        )


def take_name(temporary: str, name: str, folder: int) -> Way:
    """Let a complete file have a name that nothing has yet; readers see all of it, or nothing.

    Args:
        temporary: what the file is called now; it may go on to bear that name, too.
        name: that it shall have, in the same folder.
        folder: descriptor of the folder.

    Returns:
        how that was done.

    Raises:
        FileExistsError: something has the name.
        NoExclusiveNames: the file system knows no way.
    """
    for way, take in _WAYS:
        try:
            take(temporary, name, folder)
        except FileExistsError:
            raise
        except OSError as fault:
            if fault.errno not in _NOT_THERE:
                raise
        else:
            return way
    raise NoExclusiveNames


def _by_link(temporary: str, name: str, folder: int) -> None:
    os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)


@functools.cache
def _renameat2() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _by_rename(temporary: str, name: str, folder: int) -> None:
    rename = _renameat2()
    if rename is None:  # a C library without it
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if rename(folder, os.fsencode(temporary), folder, os.fsencode(name), _NO_REPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _by_lock(temporary: str, name: str, folder: int) -> None:
    locked = os.open(".", _FOLDER, dir_fd=folder)
    try:
        _wait_for_lock(locked)
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    finally:
        os.close(locked)


def _wait_for_lock(locked: int) -> None:
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # its holder needs it for an instant, unless it was stopped in that
            if time.monotonic() > until:
                raise TimeoutError(
                    f"another process has kept the folder locked for {_LOCK_WAIT_S:.0f} s; see "
                    "whether a run into it was stopped (Ctrl-Z), and let that go on or end it"
                ) from None
            time.sleep(_LOCK_EVERY_S)
        else:
            return


_WAYS: tuple[tuple[Way, Callable[[str, str, int], None]], ...] = (
    ("link", _by_link), ("rename", _by_rename), ("lock", _by_lock),
)  # fmt: skip
