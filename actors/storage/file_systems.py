"""File systems by address, and the one layer that tries again where storage fails."""

from __future__ import annotations

import errno
import functools
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

from uniaudio2.errors import BadRow

_T = TypeVar("_T")
ATTEMPTS = 10
PATIENCE_S = 120.0
ANSWER_S = 60.0
REQUESTS_AT_ONCE = 64  # to a store
OPEN_TRIES = 5
SLOWEST_BYTES_PER_S = 100_000
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 8.0
_MAKING = threading.Lock()
_FINAL = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, ValueError, BadRow,
)  # fmt: skip
_FINAL_ERRNO = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR,
)  # fmt: skip


class UnknownFileSystem(ValueError):
    """A URL whose protocol no installed library serves."""


def _forked() -> None:
    global _MAKING  # a thread that held it is not in the child
    _MAKING = threading.Lock()


os.register_at_fork(after_in_child=_forked)


@functools.cache
def _filesystem(protocol: str, process_id: int, tries: int) -> fsspec.AbstractFileSystem:
    del process_id  # part of the cache key: an event loop must not cross a fork
    options: dict[str, Any] = {}
    if protocol in ("s3", "s3a"):
        config: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": ANSWER_S,
            "max_pool_connections": REQUESTS_AT_ONCE,
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


def _opened(protocol: str, tries: int) -> fsspec.AbstractFileSystem:
    with _MAKING:  # threads that begin together would make one each, with a client of its own
        return _filesystem(protocol, os.getpid(), tries)


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
        return _opened("file", 1), os.path.abspath(rest or uri)
    try:
        return _opened(protocol, tries), rest
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
        except (*_FINAL, MemoryError):
            raise  # memory is no matter of storage
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


def send(fs: fsspec.AbstractFileSystem, method: str, size: int, *given: Any, **more: Any) -> None:
    """Call a method of a file system that sends data, and give it up in time.

    A library that waits for a store to say "100 Continue" waits without end (aiohttp 3.14).

    Args:
        fs: the file system.
        method: its name.
        size: of the data in bytes.
        given: its arguments.
        more: others by name.
    """
    if not isinstance(fs, AsyncFileSystem):
        getattr(fs, method)(*given, **more)
        return
    longest_s = ANSWER_S + size / SLOWEST_BYTES_PER_S
    sync(fs.loop, getattr(fs, f"_{method}"), *given, timeout=longest_s, **more)
