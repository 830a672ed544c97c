"""Getting the bytes that a row names, without trusting the name: bounded, and never a hang."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from actors.storage import retrying, split_uri
from uniaudio2.errors import BadRow

MAX_BYTES = 4 << 30
_SHOWN_CHARACTERS = 200
_RANGE = re.compile(r"(.+)#bytes=(\d{1,18})\+(\d{1,18})", re.DOTALL)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO, errno.EINVAL)


def resolve(path: str, base: str) -> str:
    """A path of a row against the folder of its manifest; absolute paths and URLs stay."""
    if "://" in path or path.startswith("/"):
        return path
    return posixpath.join(base, path)


def byte_range(uri: str, start: int, length: int) -> str:
    """The address of a part of an object, such as one member of a tar, as `fetch` takes it."""
    return f"{uri}#bytes={start}+{length}"


def fetch(uri: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a whole object that a row names.

    Local names must lead to a regular file: a pipe, a device or a folder is told apart before it
    is read. The size is asked for first, and no more than that is read.

    Args:
        uri: a local path, or a URI of any fsspec file system; of `byte_range`, a part of one.
        max_bytes: largest object that is accepted.

    Raises:
        BadRow: `missing_file`, `unreadable_file` or `too_large`.
        OSError: storage did not answer; trying again may help.
    """
    shown = repr(uri[:_SHOWN_CHARACTERS])
    part = _RANGE.fullmatch(uri)
    start, length = 0, None
    if part:
        uri, start, length = part[1], int(part[2]), int(part[3])
    try:
        fs, path = split_uri(uri)
    except Exception as fault:  # the row chose the file system, so whatever its class raises
        raise BadRow(
            "unreadable_file",
            f"{shown}: {type(fault).__name__}: {fault}; use a local path, s3:// or another "
            "protocol that is installed",
        ) from fault
    try:
        if isinstance(fs, LocalFileSystem):
            return _read_local(path, shown, max_bytes, start, length)
        path = str(fs._strip_protocol(uri))  # for HTTP the whole URL
        size = _ask(lambda: fs.info(path), f"looking at {shown}").get("size")
        if size is None:
            raise BadRow("unreadable_file", f"{shown}: storage gives no size; copy the file first")
        span = {}
        if length is not None:
            _check_part(start + length, int(size), shown)
            size, span = length, {"start": start, "end": start + length}
        _check_size(int(size), shown, max_bytes)
        return bytes(_ask(lambda: fs.cat_file(path, **span), f"reading {shown}"))
    except (OSError, ValueError) as fault:
        raise _bad_row(fault, shown) from fault


def _ask(action: Callable[[], Any], what: str) -> Any:
    def once() -> Any:
        try:
            return action()
        except FileNotFoundError as fault:
            if isinstance(fault.__cause__, OSError):
                raise OSError(f"{what}: {fault.__cause__}") from fault  # HTTP did not answer
            raise
        except Exception as fault:
            if type(fault).__name__ == "ParamValidationError":  # no bucket can have such a name
                raise ValueError(" ".join(str(fault).split())) from fault
            raise

    return retrying(once, what)


def _read_local(
    path: str, shown: str, max_bytes: int, start: int = 0, length: int | None = None
) -> bytes:
    require_regular(path)
    # not blocking, in case it became a pipe since
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if length is not None:
            _check_part(start + length, size, shown)
            file.seek(start)
            size = length
        _check_size(size, shown, max_bytes)
        return file.read(size)


def require_regular(path: str) -> None:
    """Refuse a local path that is no regular file: opening a pipe or a device could hang.

    Raises:
        OSError: it is none, or nothing is there.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file (a folder, a pipe or a device)")


def _check_size(size: int, shown: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise BadRow(
            "too_large",
            f"{shown}: {size} bytes; the limit is {max_bytes} bytes a file; "
            "cut it, or raise load.max_bytes",
        )


def _check_part(end: int, size: int, shown: str) -> None:
    if end > size:
        raise BadRow(
            "unreadable_file", f"{shown}: the file ends at byte {size}; it is cut: fetch it again"
        )


def _bad_row(fault: OSError | ValueError, shown: str) -> Exception:
    """The typed error of a name that leads nowhere; any other fault comes back as it is."""
    if isinstance(fault, ValueError):  # a NUL in the name, a bucket name that cannot be
        return BadRow("missing_file", f"{shown}: {fault}; correct the name")
    what = fault.strerror or str(fault)
    if isinstance(fault, FileNotFoundError) or fault.errno in _ABSENT:
        return BadRow(
            "missing_file", f"{shown}: {what}; relative paths start at the manifest's folder"
        )
    if isinstance(fault, PermissionError) or fault.errno in _CLOSED:
        return BadRow("unreadable_file", f"{shown}: {what}; name a file that can be read")
    return fault
