"""A folder of this machine whose inside holds no links: none is followed, listed into or replaced.

Whoever can write into a folder can put a link there that leads anywhere, and so can an honest user
with a second disk. Every path is walked folder by folder, each opened without following a link, and
the last step is taken inside the folder that is open: nothing can be exchanged in between. The
folder itself may be reached through a link.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from actors.disks.exclusive_names import Way, take_name
from uniaudio2.shown import quoted

_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
# enough to walk through; where the system has no such thing, folders must be readable
_WALK = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hang
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_MADE_MODE, _MADE_FOLDER_MODE = 0o666, 0o777  # less what the user's umask takes away

_LONGEST_NAME, _LONGEST_PATH = 255, 1024  # bytes that file systems and stores take
_NOT_NAMES = frozenset(("", ".", ".."))
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f\\]|://")
_SHOWN_CHARACTERS = 120


class ForeignPath(OSError, ValueError):
    """A path that leaves the folder it belongs to, or leads to what no run puts there: a link, a
    pipe, a folder in a file's place, a file of another size."""


def inner_path(path: str, root: str) -> str:
    """The one guard of paths: `path` itself, if it can only lead to something below `root`.

    Raises:
        ForeignPath: by its words it leads elsewhere, or nowhere.
    """
    names = path.split("/") if isinstance(path, str) else [""]
    try:
        sizes = [len(name.encode()) for name in names]
    except UnicodeEncodeError:
        sizes = [_LONGEST_PATH]
    fits = max(sizes) <= _LONGEST_NAME and sum(sizes) + len(sizes) <= _LONGEST_PATH
    if not fits or not _NOT_NAMES.isdisjoint(names) or _NOT_IN_PATHS.search(path):
        raise ForeignPath(
            f"{quoted(path, _SHOWN_CHARACTERS)} would leave {root}, or names nothing in it; paths "
            "there are relative, made of names and single slashes"
        )
    return path


def _is_link(name: str, folder: int) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


class LocalFolder:
    """Reads and writes below a folder; paths have been checked, see `Storage`.

    Args:
        root: absolute path of the folder, which need not exist.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def _foreign(self, path: str) -> ForeignPath:
        return ForeignPath(
            f"{path} in {self.root} is a link, which is not followed; put what it leads to in its "
            "place, or make the whole folder the link"
        )

    def _enter(self, name: str, folder: int, path: str, flags: int) -> int:
        """Open a folder inside an open one."""
        try:
            return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as fault:
            if fault.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, folder):
                raise self._foreign(path) from None
            raise type(fault)(fault.errno, fault.strerror, path) from None

    @contextmanager
    def _opened(self, path: str, make: bool = False, last: int = _WALK) -> Iterator[int]:
        """The folder at a path below the root, open; "" is the root itself.

        Args:
            path: of the folder.
            make: make the folders that are not there.
            last: how the folder itself is opened; those above are walked through.
        """
        if make:
            with suppress(FileExistsError):
                Path(self.root).mkdir(parents=True)
        names = path.split("/") if path else []
        folder = os.open(self.root, _WALK if names else last)
        try:
            for number, name in enumerate(names, 1):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, _MADE_FOLDER_MODE, dir_fd=folder)
                flags = last if number == len(names) else _WALK
                inner = self._enter(name, folder, "/".join(names[:number]), flags)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _parent(self, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that holds a path, and its name there; the name is no link."""
        above, _, name = path.rpartition("/")
        with self._opened(above, make) as folder:
            if _is_link(name, folder):
                raise self._foreign(path)
            yield folder, name

    def read(self, path: str, most: int) -> bytes:
        """Read a regular file of at most `most` bytes.

        Raises:
            ForeignPath: a link is in the way, it is none, or it is larger.
            OSError: it cannot be read.
        """
        above, _, name = path.rpartition("/")
        with self._opened(above) as folder:
            try:
                opened = os.open(name, _FILE, dir_fd=folder)
            except OSError as fault:
                if fault.errno == errno.ELOOP:
                    raise self._foreign(path) from None
                raise type(fault)(fault.errno, fault.strerror, f"{self.root}/{path}") from None
        facts = os.fstat(opened)
        if stat.S_ISREG(facts.st_mode) and facts.st_size <= most:
            with os.fdopen(opened, "rb") as file:
                return file.read(most)
        os.close(opened)
        if stat.S_ISREG(facts.st_mode):
            raise too_large(f"{self.root}/{path}", most)
        raise ForeignPath(
            f"{self.root}/{path} is not a regular file, but a folder, a pipe or a device"
        )

    def exists(self, path: str) -> bool:
        """Tell whether something is there."""
        try:
            with self._parent(path) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: str) -> list[str]:
        """Names right in a folder."""
        with self._opened(path, last=os.O_RDONLY | _FOLDER) as folder:
            return os.listdir(folder)

    def files(self, path: str) -> list[str]:
        """Everything below a folder but folders, as paths relative to the root.

        Links are among them by their own names; what they lead to is not.
        """
        found: list[str] = []
        folders = [path]
        while folders:
            at = folders.pop()
            begin = f"{at}/" if at else ""
            try:
                with (
                    self._opened(at, last=os.O_RDONLY | _FOLDER) as folder,
                    os.scandir(folder) as entries,
                ):
                    for entry in entries:
                        inner = entry.is_dir(follow_symlinks=False)
                        (folders if inner else found).append(begin + entry.name)
            except (FileNotFoundError, NotADirectoryError, ForeignPath):
                if at == path:
                    raise
                continue  # it went, or was exchanged, while we looked
        return found

    def put(self, path: str, content: bytes | Path, replace: bool) -> Way:
        """Write a whole file at once: bytes, or a copy of a file.

        A name beside it holds the content until it is complete; nothing of that stays.

        Args:
            path: of the file.
            content: what it shall hold.
            replace: take the place of what is there.

        Returns:
            how it got its name, see `take_name`.

        Raises:
            ForeignPath: a link is in the way, or there.
            FileExistsError: something is there, and is not to be replaced.
            NoExclusiveNames: this disk cannot tell whether something is there.
        """
        with self._parent(path, make=True) as (folder, name):
            temporary = f"{name}.{uuid.uuid4().hex}.tmp"
            try:
                with os.fdopen(os.open(temporary, _NEW, _MADE_MODE, dir_fd=folder), "wb") as file:
                    if isinstance(content, Path):
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, file, 1 << 20)
                    else:
                        file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if not replace:
                    return take_name(temporary, name, folder)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                return "rename"
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)

    def exclusive_way(self, path: str) -> Way:
        """How a file is given a name that is free, see `take_name`.

        Args:
            path: where that is tried; nothing is there, before or afterwards.
        """
        way = self.put(path, b"", replace=False)
        self.delete(path)
        return way

    def keeps_machines_apart(self, path: str) -> bool:
        """Whether of two machines that create a file at once one alone succeeds.

        Args:
            path: where that is tried, see `exclusive_way`.
        """
        # a disk of this machine's own is written by no other; what is not on a disk has number 0
        return self.exclusive_way(path) != "lock" or os.major(os.stat(self.root).st_dev) != 0

    def delete(self, path: str) -> None:
        """Remove a file; of a link its name alone, never what it leads to.

        Raises:
            ForeignPath: a link is in the way.
            FileNotFoundError: nothing is there.
        """
        above, _, name = path.rpartition("/")
        with self._opened(above) as folder:
            os.unlink(name, dir_fd=folder)


def too_large(address: str, most: int) -> ForeignPath:
    """The error for an object that is larger than anything that a run writes."""
    return ForeignPath(f"{address} is larger than {most} bytes, which nothing of a run is")
