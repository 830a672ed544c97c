"""Getting the bytes that a row names, without trusting the name: bounded, and never a hang."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

from actors.storage.addresses import LOCAL, WEB, AddressPolicy, local_path, scheme_of
from actors.storage.block_reader import (
    ZIP_HEADER_BYTES,
    BlockReader,
    TimedCalls,
    inflated,
    member_layout,
)
from actors.storage.file_systems import split_uri
from actors.storage.web import open_web
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted, shown

MAX_BYTES = 4 << 30
TIMEOUT_S = 120.0
BLOCKS_FROM_BYTES = 32 << 20
_BLOCK_BYTES = 8 << 20
_ANY_SIZE = 1 << 62
_ANNEX = ".git/annex/objects/"
_RANGE = re.compile(r"(.+)#bytes=(\d{1,18})\+(\d{1,18})", re.DOTALL)
ByteRange = tuple[int, int] | None
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO, errno.EINVAL)


@dataclass(frozen=True)
class Limits:
    """Limits of bytes and time for reading one file.

    Attributes:
        max_bytes: largest file that is accepted.
        timeout_s: longest time for one file, or for a block of 8 MiB where files of a store are
            read block by block; repeated tries included.
    """

    max_bytes: int = MAX_BYTES
    timeout_s: float = TIMEOUT_S


def byte_range(uri: str, start: int, length: int) -> str:
    """The address of some bytes of an object, such as one member of a tar, as `fetch` takes it.

    Args:
        uri: of the object.
        start: the first byte; of a zip, that of the member's header.
        length: of the bytes; of a zip, as they are packed there.
    """
    return f"{uri}#bytes={start}+{length}"


def fetch(
    uri: str,
    max_bytes: int = MAX_BYTES,
    policy: AddressPolicy | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Read a whole object.

    Args:
        uri: a local path, or a URI of any fsspec file system; or of `byte_range`.
        max_bytes: largest object that is accepted.
        policy: what the manifest that names it may name; None for an address that the user gave.
        timeout_s: longest time for it.

    Raises:
        BadRow: as `open_uri`.
        OSError: storage did not answer; trying again may help.
    """
    with open_uri(uri, Limits(max_bytes, timeout_s), policy, blocks_from=max_bytes + 1) as file:
        return file.read()  # of what has been read already


@contextmanager
def open_uri(
    uri: str,
    limits: Limits | None = None,
    policy: AddressPolicy | None = None,
    blocks_from: int = BLOCKS_FROM_BYTES,
) -> Iterator[BinaryIO]:
    """Open an object that a row names.

    Local names must lead to a regular file: a pipe, a device or a folder is told apart before it
    is read. The size is asked for first, and no more than that is read.

    Args:
        uri: a local path, or a URI of any fsspec file system; or of `byte_range`.
        limits: of bytes and time.
        policy: what the manifest that names it may name; None for an address that the user gave.
        blocks_from: objects of this many bytes are read block by block, smaller ones at once.

    Raises:
        BadRow: `forbidden_address`, `missing_file`, `unreadable_file`, `too_large`,
            `fetch_timeout`, or `too_many_requests` and `unavailable` of servers and hubs.
        OSError: storage did not answer; trying again may help. Also at the end of the block, if
            a library in it took a missing answer for the end of the file.
    """
    limits = limits or Limits()
    name = repr(shown(uri))
    uri, wanted = split_range(uri, policy)
    if policy is not None:
        policy.check(uri)
    try:
        if wanted and uri.lower().endswith(".zip"):
            file = _opened_member(uri, name, limits, policy, blocks_from, wanted)
        else:
            file = _opened(uri, name, limits, policy, blocks_from, wanted)
    except (OSError, ValueError) as fault:
        raise _bad_row(fault, uri) from fault
    with file:
        reader = file.raw if isinstance(file, io.BufferedReader) else None
        try:
            yield file
        except BadRow:
            if isinstance(reader, BlockReader) and reader.fault:
                raise reader.fault from None
            raise
        if isinstance(reader, BlockReader) and reader.fault:
            raise reader.fault


@contextmanager
def looked_for(name: str, policy: AddressPolicy) -> Iterator[None]:
    """Tell of a file that is missing in the block in which folder a relative name was looked for.

    Args:
        name: as it stands in the manifest; "" is none.
        policy: of that manifest.
    """
    try:
        yield
    except BadRow as error:
        is_relative = bool(name) and "://" not in name and not name.startswith("/")
        if error.kind != "missing_file" or not is_relative:
            raise
        base = quoted(policy.base or ".")
        raise BadRow(
            error.kind,
            f"{error.message}; {quoted(name)} is relative and was looked for in {base} "
            "(--set manifest.base=DIR looks elsewhere)",
        ) from error


def read_head(uri: str, size: int, timeout_s: float = TIMEOUT_S) -> bytes:
    """The first `size` bytes of an object that a user named, or all of a smaller one.

    Raises:
        BadRow: `missing_file`, `unreadable_file` or `fetch_timeout`.
        OSError: storage did not answer.
    """
    limits = Limits(_ANY_SIZE, timeout_s)
    with open_uri(uri, limits, None, blocks_from=0) as file:
        # not through the buffer of a reader, which asks for a whole block
        raw = file.raw if isinstance(file, io.BufferedReader) else file
        return bytes(raw.read(size) or b"")


def split_range(uri: str, policy: AddressPolicy | None) -> tuple[str, ByteRange]:
    """An address of `byte_range` without the range, and it.

    Args:
        uri: of an object, or of a part of it.
        policy: ranges are only believed of the tar that was read; None believes all.
    """
    found = _RANGE.fullmatch(uri)
    if found and (policy is None or found[1] == policy.tar):
        return found[1], (int(found[2]), int(found[3]))
    return uri, None


def _opened(
    uri: str,
    name: str,
    limits: Limits,
    policy: AddressPolicy | None,
    blocks_from: int,
    wanted: ByteRange,
) -> BinaryIO:
    if scheme_of(uri) in WEB:
        try:
            return open_web(uri, limits.max_bytes, limits.timeout_s, policy, wanted)
        except BadRow as error:
            raise BadRow(error.kind, f"{name}: {error.message}") from error
    try:
        fs, path = split_uri(uri, tries=1)
    except Exception as fault:  # the row chose the file system, so whatever its class raises
        raise BadRow(
            "unreadable_file",
            f"{name}: {type(fault).__name__}: {fault}; use a local path, s3:// or another "
            "protocol that is installed",
        ) from fault
    if isinstance(fs, LocalFileSystem):
        return _open_local(path, name, limits.max_bytes, blocks_from, wanted)
    return _open_remote(fs, str(fs._strip_protocol(uri)), name, limits, blocks_from, wanted)


def _opened_member(
    uri: str,
    name: str,
    limits: Limits,
    policy: AddressPolicy | None,
    blocks_from: int,
    wanted: tuple[int, int],
) -> BinaryIO:
    """A member of a zip, unpacked; what is not packed is read where it lies."""
    header, length = wanted
    try:
        with _opened(uri, name, limits, policy, blocks_from, (header, ZIP_HEADER_BYTES)) as file:
            skip, is_packed = member_layout(file.read(ZIP_HEADER_BYTES))
        data = _opened(uri, name, limits, policy, blocks_from, (header + skip, length))
        if not is_packed:
            return data
        with data:
            return inflated(data, limits.max_bytes)
    except BadRow as error:
        told = error.message if name in error.message else f"{name}: {error.message}"
        raise BadRow(error.kind, told) from error


def _open_remote(
    fs: Any, path: str, name: str, limits: Limits, blocks_from: int, wanted: ByteRange
) -> BinaryIO:
    ask = TimedCalls(fs, limits.timeout_s)
    size = ask("info", path, f"looking at {name}").get("size")
    if size is None:
        raise BadRow("unreadable_file", f"{name}: storage gives no size; copy the file first")
    first, length = _checked_range(wanted, int(size), name)
    _check_size(length, name, limits.max_bytes)

    def read_range(start: int, stop: int) -> bytes:
        is_whole = stop - start == size  # a store need not know ranges
        bounds = {} if is_whole else {"start": first + start, "end": first + stop}
        return bytes(ask("cat_file", path, f"reading {name}", **bounds))

    if length < blocks_from:
        return io.BytesIO(read_range(0, length))
    return io.BufferedReader(BlockReader(read_range, length), _BLOCK_BYTES)


def _open_local(
    path: str, name: str, max_bytes: int, blocks_from: int, wanted: ByteRange
) -> BinaryIO:
    require_regular(path)
    # not blocking, in case it became a pipe since
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        size = os.fstat(file.fileno()).st_size
        first, length = _checked_range(wanted, size, name)
        _check_size(length, name, max_bytes)
        if length < blocks_from:
            with file:
                file.seek(first)
                return io.BytesIO(file.read(length))
    except BaseException:
        file.close()
        raise

    def read_range(start: int, stop: int) -> bytes:
        return os.pread(file.fileno(), stop - start, first + start)

    return io.BufferedReader(BlockReader(read_range, length), _BLOCK_BYTES)


def require_regular(path: str) -> None:
    """Refuse a local path that is no regular file: opening a pipe or a device could hang.

    Raises:
        OSError: it is none, or nothing is there.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file (a folder, a pipe or a device)")


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise BadRow(
            "too_large",
            f"{name}: {size} bytes; the limit is {max_bytes} bytes a file; "
            "cut it, or raise load.max_bytes",
        )


def _checked_range(wanted: ByteRange, size: int, name: str) -> tuple[int, int]:
    """First byte and length of what is wanted; of the whole object where that is None."""
    if wanted is None:
        return 0, size
    if sum(wanted) > size:
        raise BadRow(
            "unreadable_file", f"{name}: the file ends at byte {size}; it is cut: fetch it again"
        )
    return wanted


def _bad_row(fault: OSError | ValueError, uri: str) -> Exception:
    """The typed error of a name that leads nowhere; any other fault comes back as it is."""
    name = repr(shown(uri))
    if isinstance(fault, ValueError):  # a NUL in the name, a bucket name that cannot be
        return BadRow("missing_file", f"{name}: {fault}; correct the name")
    what = fault.strerror or str(fault)
    if isinstance(fault, FileNotFoundError) or fault.errno in _ABSENT:
        return BadRow("missing_file", f"{name}: {why_absent(uri, what)}")
    if isinstance(fault, PermissionError) or fault.errno in _CLOSED:
        return BadRow("unreadable_file", f"{name}: {what}; name a file that can be read")
    return fault


def why_absent(uri: str, what: str) -> str:
    """Say where nothing was found, as far as can be told why, and what may help.

    Args:
        uri: what was looked for.
        what: the answer was.
    """
    if scheme_of(uri) not in LOCAL:
        return f"{what}; nothing is there by this name: correct the address"
    path = local_path(uri)
    if os.path.islink(path):
        if _ANNEX in os.readlink(path):
            return "a git-annex link without its content; run `git annex get` in its repository"
        return f"{what}; it is a link, and nothing is where it leads: fetch what it leads to"
    folder = posixpath.dirname(path)
    if os.path.isdir(folder):
        return f"{what}; its folder is there: correct the name"
    while folder != posixpath.dirname(folder) and not os.path.isdir(folder):
        folder = posixpath.dirname(folder)
    return (
        f"{what}; of its path there is {quoted(folder)} alone: correct it, or mount what holds it"
    )
