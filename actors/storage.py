"""Object storage as the pipeline needs it: whole objects, one PUT each, and create-if-absent.

Nothing is ever streamed to its final place or renamed there: a reader sees a complete object or
none. Local disk keeps the same promises with a temporary file and a hard link.
"""

from __future__ import annotations

import errno
import functools
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.implementations.local import LocalFileSystem

from actors.local_folder import ForeignPath, LocalFolder, inner_path, too_large
from uniaudio2.errors import BadRow

_T = TypeVar("_T")
ATTEMPTS = 10
PATIENCE_S = 120.0
ANSWER_S = 60.0
OPEN_TRIES = 5
SLOWEST_BYTES_PER_S = 100_000
DELETED_AT_ONCE = 1000  # of S3's bulk deletes
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 8.0
MOST_BYTES = 16 << 30
_FEW, _DELETE_THREADS = 8, 16
_FINAL = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, ValueError, BadRow,
)  # fmt: skip
_FINAL_ERRNO = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR,
)  # fmt: skip
# their fsspec libraries send the condition along; others look first and write then
_CONDITIONAL_PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")


class UnknownFileSystem(ValueError):
    """A URL whose protocol no installed library serves."""


class AlreadyThere(Exception):
    """`Storage.create` found an object with other contents at that place."""


@functools.cache
def _filesystem(protocol: str, process_id: int, tries: int) -> fsspec.AbstractFileSystem:
    del process_id  # part of the cache key: an event loop must not cross a fork
    options: dict[str, Any] = {}
    if protocol in ("s3", "s3a"):
        config: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": ANSWER_S,
        }
        if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
            config["s3"] = {"addressing_style": "path"}
        options = {
            "config_kwargs": config,
            "use_listings_cache": False,
            "skip_instance_cache": True,
        }
    if protocol == "hf":
        options = {"endpoint": os.environ.get("HF_ENDPOINT"), "skip_instance_cache": True}
    found = fsspec.filesystem(protocol, **options)
    if protocol in ("s3", "s3a"):
        found.retries = tries  # s3fs' own layer, above botocore's
    return found


def split_uri(uri: str, tries: int = OPEN_TRIES) -> tuple[fsspec.AbstractFileSystem, str]:
    """Find the file system of a URI or local path, and the path inside it.

    Credentials come from the environment's usual chain and are never stored here.

    Args:
        uri: a local path or a URL.
        tries: of one request, made by the library itself: more than 1 where files are opened and
            read bit by bit, 1 where calls are made through `retrying`.

    Raises:
        UnknownFileSystem: nothing serves the URL's protocol.
    """
    protocol, _, rest = uri.partition("://")
    if not rest or protocol == "file":
        return _filesystem("file", os.getpid(), 1), os.path.abspath(rest or uri)
    try:
        return _filesystem(protocol, os.getpid(), tries), rest
    except (ValueError, ImportError) as fault:
        raise UnknownFileSystem(
            f"{uri}: {fault}; use a local path, s3://, or install the library for {protocol}://"
        ) from fault


def retrying(action: Callable[[], _T], what: str, until: float | None = None) -> _T:
    """Call `action`, again after a growing random wait while storage answers with a fault.

    It is the one layer that tries again: libraries below are told to try once. One that never
    answers is given up after `PATIENCE_S` and what its last try took.

    Args:
        action: what is tried.
        what: it is, in words.
        until: moment of `time.monotonic` behind which nothing is tried again; None gives
            `PATIENCE_S`.

    Raises:
        TimeoutError: that moment came; an OSError.
        OSError: the last fault, after `ATTEMPTS` tries; at once when trying again cannot help
            (absent, forbidden, disk full).
    """
    wait_s = FIRST_WAIT_S
    until = time.monotonic() + PATIENCE_S if until is None else until
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except _FINAL:
            raise
        except Exception as fault:
            if time.monotonic() + wait_s >= until:
                raise TimeoutError(f"{what}: {type(fault).__name__}: {fault}") from fault
            final = isinstance(fault, OSError) and fault.errno in _FINAL_ERRNO
            if attempt == ATTEMPTS or final:
                if isinstance(fault, OSError):
                    raise
                raise OSError(f"{what}: {type(fault).__name__}: {fault}") from fault
            time.sleep(wait_s * (0.5 + random.random() / 2))  # noqa: S311 - jitter, not secrecy
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    raise AssertionError("unreachable")


def read_uri(uri: str) -> bytes:
    """Read a whole object.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: storage did not answer.
    """
    fs, path = split_uri(uri, tries=1)
    return retrying(lambda: bytes(fs.cat_file(path)), f"reading {uri}")


class Storage:
    """A folder on local disk or object storage; every path is relative to it.

    Its inside is not trusted: a path that would leave it, by its words or through a link below
    the root, is refused, see `LocalFolder`.

    Args:
        root: local path or URL of any fsspec file system.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if "://" in root else os.path.abspath(root)
        self._fs, self._base = split_uri(self.root, tries=1)
        self._folder = LocalFolder(self._base) if isinstance(self._fs, LocalFileSystem) else None
        self._looks_first = False
        self._one_by_one = False

    @property
    def is_local(self) -> bool:
        return self._folder is not None

    @property
    def address(self) -> str:
        """The one address of this place, whatever links lead to it."""
        return os.path.realpath(self._base) if self.is_local else self.root

    def uri(self, path: str) -> str:
        """The full address of a path.

        Raises:
            ForeignPath: the path would leave the folder.
        """
        return f"{self.root}/{inner_path(path, self.root)}"

    def _full(self, path: str) -> str:
        return f"{self._base}/{inner_path(path, self.root)}"

    def _full_folder(self, path: str) -> str:
        return self._full(path) if path else f"{self._base}/"

    def read(self, path: str, most: int = MOST_BYTES) -> bytes:
        """Read a whole object.

        Args:
            path: of the object.
            most: an object that is larger than this is not read.
        """
        full, what = self._full(path), f"reading {self.uri(path)}"
        if self._folder:
            folder = self._folder
            return retrying(lambda: folder.read(path, most), what)
        if most >= MOST_BYTES:
            return retrying(lambda: bytes(self._fs.cat_file(full)), what)
        data = retrying(lambda: self._bounded(full, most), what)
        if data is None:
            raise too_large(self.uri(path), most)
        return data

    def _bounded(self, full: str, most: int) -> bytes | None:
        with self._fs.open(full, "rb") as file:  # asks for the size, as reading at once does
            return bytes(file.read()) if file.size <= most else None

    def exists(self, path: str) -> bool:
        """Tell whether an object is there, asking storage and no cache."""
        full, what = self._full(path), f"looking for {self.uri(path)}"
        if self._folder:
            folder = self._folder
            return retrying(lambda: folder.exists(path), what)
        return retrying(lambda: bool(self._fs.exists(full)), what)

    def is_link(self, path: str) -> bool:
        """Tell whether a link is in the way to a path, or there; object storage has none."""
        try:
            if self.is_local:
                self.exists(path)
        except ForeignPath:
            return True
        return False

    def children(self, folder: str) -> list[str]:
        """Objects and folders right in a folder, as sorted paths relative to the root."""
        full, begin = self._full_folder(folder), f"{folder}/" if folder else ""

        def found() -> list[str]:
            if self._folder:
                return sorted(begin + name for name in self._folder.names(folder))
            names = self._fs.ls(full, detail=False)
            return sorted(str(name).rstrip("/")[len(self._base) + 1 :] for name in names)

        try:
            return retrying(found, f"listing {self.root}/{folder}")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def list(self, prefix: str) -> list[str]:
        """Every object below a folder, as sorted paths relative to the root.

        A link in it is an object: what it leads to is not listed.
        """
        full = self._full_folder(prefix)

        def found() -> list[str]:
            if self._folder:
                return sorted(self._folder.files(prefix))
            names = self._fs.find(full.rstrip("/"))
            return sorted(str(name)[len(self._base) + 1 :] for name in names)

        try:
            return retrying(found, f"listing {self.root}/{prefix}")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def put(self, path: str, data: bytes) -> None:
        """Write a whole object in one step, replacing what was there."""
        full = self._full(path)
        if self._folder:
            self._folder.put(path, data, replace=True)
            return
        retrying(
            lambda: self._send("pipe_file", len(data), full, data), f"writing {self.uri(path)}"
        )

    def put_file(self, path: str, local: Path) -> None:
        """Write a whole object from a local file, which may be larger than memory."""
        full = self._full(path)
        if self._folder:
            self._folder.put(path, local, replace=True)
            return
        size = local.stat().st_size
        what = f"writing {self.uri(path)}"
        retrying(lambda: self._send("put_file", size, str(local), full), what)

    def _send(self, method: str, size: int, *given: Any, **more: Any) -> None:
        """Call what sends data, and give it up in time.

        A library that waits for a store to say "100 Continue" waits without end (aiohttp 3.14).
        """
        if not isinstance(self._fs, AsyncFileSystem):
            getattr(self._fs, method)(*given, **more)
            return
        longest_s = ANSWER_S + size / SLOWEST_BYTES_PER_S
        sync(self._fs.loop, getattr(self._fs, f"_{method}"), *given, timeout=longest_s, **more)

    def create(self, path: str, data: bytes) -> None:
        """Write a whole object only if nothing is there.

        Repeating a call with the same bytes succeeds: the first answer may have been lost.

        Raises:
            AlreadyThere: another writer's object is there.
        """
        full = self._full(path)
        try:
            if self._folder:
                self._folder.put(path, data, replace=False)
            else:
                retrying(lambda: self._create(full, data), f"creating {self.uri(path)}")
        except (ForeignPath, TimeoutError):
            raise  # a store that does not answer cannot tell either
        except OSError as fault:
            if not self.exists(path):
                raise
            if not self._holds(path, data):
                raise AlreadyThere(f"{self.uri(path)} was written by another run") from fault

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path, len(data)) == data
        except ForeignPath:  # it is larger
            return False

    def _create(self, full: str, data: bytes) -> None:
        if not self._looks_first:
            try:
                self._send("pipe_file", len(data), full, data, mode="create")
                return
            except OSError as fault:
                if fault.errno != errno.ENOSYS:
                    raise
                self._looks_first = True  # this server knows no conditional writes
        if self._fs.exists(full):
            raise FileExistsError(full)
        self._send("pipe_file", len(data), full, data)

    def fences(self, path: str) -> bool:
        """Tell whether storage itself lets only one of two writers `create` an object.

        It is tried at `path`, which is gone afterwards. Where storage refuses conditional writes or
        ignores them, `create` looks first and writes then from now on, so that only writers at the
        very same moment can miss each other.
        """
        if self.is_local:
            return True
        self.put(path, b"first")
        try:
            self.create(path, b"second")
            self._looks_first = True
        except AlreadyThere:
            pass
        finally:
            self.delete(path)
        return not self._looks_first and self.root.partition("://")[0] in _CONDITIONAL_PROTOCOLS

    def delete_many(self, paths: Sequence[str]) -> None:
        """Remove objects, many in one request where the store can; absent ones are fine.

        All of them are gone when it returns; which went first is not said.
        """
        if self._folder or len(paths) < _FEW:
            self._delete_each(paths)
            return
        for start in range(0, len(paths), DELETED_AT_ONCE):
            some = [self._full(path) for path in paths[start : start + DELETED_AT_ONCE]]
            try:
                if not self._one_by_one:
                    self._fs.rm(some)
                    continue
            except Exception:  # a store that refuses bulk deletes may do so with any fault
                self._one_by_one = True
            self._delete_each(paths[start : start + DELETED_AT_ONCE])

    def _delete_each(self, paths: Sequence[str]) -> None:
        with ThreadPoolExecutor(_DELETE_THREADS) as pool:
            list(pool.map(self.delete, paths))

    def delete(self, path: str) -> None:
        """Remove an object; an absent one is fine. Of a link only its name goes."""
        full, what = self._full(path), f"removing {self.uri(path)}"
        try:
            if self._folder:
                folder = self._folder
                retrying(lambda: folder.delete(path), what)
            else:
                retrying(lambda: self._fs.rm_file(full), what)
        except FileNotFoundError:
            return
