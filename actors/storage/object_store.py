"""Object storage as the pipeline needs it: whole objects, one PUT each, and create-if-absent.

Nothing is ever streamed to its final place or renamed there: a reader sees a complete object or
none. Local disk keeps the same promises with a temporary file and `exclusive_names`.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from fsspec.implementations.local import LocalFileSystem

from actors.storage.file_systems import retrying, send, split_uri
from actors.storage.local_folder import ForeignPath, LocalFolder, inner_path, too_large

DELETED_AT_ONCE = 1000  # of S3's bulk deletes
MOST_BYTES = 16 << 30
_FEW, _DELETE_THREADS = 8, 16
# their fsspec libraries send the condition along; others look first and write then
_CONDITIONAL_PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")


_MARK = "of_storage"
_T = TypeVar("_T")
_P = ParamSpec("_P")


class ObjectExists(Exception):
    """`Storage.create` found an object with other contents at that place."""


def is_storage_fault(fault: BaseException) -> bool:
    """Whether a `Storage` raised it, and not what else a process opens and writes."""
    return getattr(fault, _MARK, False)


def _marking(
    method: Callable[Concatenate[Storage, _P], _T],
) -> Callable[Concatenate[Storage, _P], _T]:
    """Mark the errors that a method of `Storage` raises, for `is_storage_fault`."""

    @functools.wraps(method)
    def call(self: Storage, /, *given: _P.args, **more: _P.kwargs) -> _T:
        try:
            return method(self, *given, **more)
        except OSError as fault:
            setattr(fault, _MARK, True)
            raise

    return call


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

    @_marking
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

    @_marking
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

    @_marking
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

    @_marking
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

    @_marking
    def put(self, path: str, data: bytes) -> None:
        """Write a whole object at once, replacing what was there."""
        full = self._full(path)
        if self._folder:
            self._folder.put(path, data, replace=True)
            return
        retrying(
            lambda: send(self._fs, "pipe_file", len(data), full, data), f"writing {self.uri(path)}"
        )

    @_marking
    def put_file(self, path: str, local: Path) -> None:
        """Write a whole object from a local file, which may be larger than memory."""
        full = self._full(path)
        if self._folder:
            self._folder.put(path, local, replace=True)
            return
        size = local.stat().st_size
        what = f"writing {self.uri(path)}"
        retrying(lambda: send(self._fs, "put_file", size, str(local), full), what)

    @_marking
    def create(self, path: str, data: bytes) -> None:
        """Write a whole object only if nothing is there.

        Repeating a call with the same bytes succeeds: the first answer may have been lost.

        Raises:
            ObjectExists: another writer's object is there.
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
                raise ObjectExists(f"{self.uri(path)} was written by another run") from fault

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path, len(data)) == data
        except ForeignPath:  # it is larger
            return False

    def _create(self, full: str, data: bytes) -> None:
        if not self._looks_first:
            try:
                send(self._fs, "pipe_file", len(data), full, data, mode="create")
                return
            except OSError as fault:
                if fault.errno != errno.ENOSYS:
                    raise
                self._looks_first = True  # this server knows no conditional writes
        if self._fs.exists(full):
            raise FileExistsError(full)
        send(self._fs, "pipe_file", len(data), full, data)

    @_marking
    def has_conditional_writes(self, path: str) -> bool:
        """Tell whether storage itself lets only one of two writers `create` an object, wherever
        they are.

        It is tried at `path`, which is gone afterwards. Where storage refuses conditional writes or
        ignores them, `create` looks first and writes then from now on, so that only writers at the
        very same moment can miss each other.
        """
        if self._folder:
            return self._folder.keeps_machines_apart(inner_path(path, self.root))
        self.put(path, b"first")
        try:
            self.create(path, b"second")
            self._looks_first = True
        except ObjectExists:
            pass
        finally:
            self.delete(path)
        return not self._looks_first and self.root.partition("://")[0] in _CONDITIONAL_PROTOCOLS

    @_marking
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

    @_marking
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
