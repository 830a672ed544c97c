"""A file from a web server that a row chose: bounded in bytes and in time, wherever it leads.

Names tell little of who answers: a public one may resolve to this machine, another time to another
one, and may redirect anywhere. So every connection checks who answers (`web_connections`), and a
redirect is a new address that passes the same policy. A server that is busy or limits how often it
is asked gets the pause that it wants, from all rows, and is asked again.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

from actors.storage.addresses import WEB, AddressPolicy, scheme_of
from actors.storage.block_reader import IN_MEMORY_BYTES
from actors.storage.file_systems import retrying
from actors.storage.web_connections import (
    PAUSES,
    WATCH,
    ended_at,
    kind_of_status,
    pause_asked,
    pool_manager,
)
from uniaudio2.errors import BadRow
from uniaudio2.shown import shown

_BLOCK_BYTES = 1 << 16
_CONNECT_S = 10.0
_REDIRECTS = 5
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_GONE = (404, 410)
_UNPACKED = ("", "identity", "gzip", "x-gzip", "deflate")


class ServerFault(OSError):
    """A server answers that it cannot give the file now.

    Args:
        status: of its answer.
        has_pause: it said when to ask again.
    """

    def __init__(self, status: int, has_pause: bool) -> None:
        super().__init__(f"the server answers {status}")
        self.kind, self.has_pause = kind_of_status(status), has_pause


def open_web(
    uri: str, max_bytes: int, timeout_s: float, policy: AddressPolicy | None = None,
    byte_range: tuple[int, int] | None = None,
) -> BinaryIO:  # fmt: skip
    """Fetch a file; one that is large is kept in a temporary file without a name.

    Args:
        uri: ``http://`` or ``https://``.
        max_bytes: largest file that is accepted, unpacked where the server packs it.
        timeout_s: longest time for all of it, redirects and repeated tries included.
        policy: what the manifest may name; None for an address that the user gave.
        byte_range: first byte and length of what is wanted; None for all.

    Returns:
        the file, at its beginning.

    Raises:
        BadRow: `forbidden_address`, `unreadable_file`, `too_large`, `fetch_timeout`,
            `too_many_requests` or `unavailable`, the last two after many tries.
        FileNotFoundError: the server says that nothing is there.
        PermissionError: the server refuses.
        ValueError: the address is none.
    """
    until = time.monotonic() + timeout_s
    shown_uri = repr(shown(uri))
    try:
        return retrying(
            lambda: _patiently(uri, max_bytes, until, policy, byte_range),
            f"reading {shown_uri}", until,
        )  # fmt: skip
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as fault:
        last = fault.__cause__ if isinstance(fault, TimeoutError) else fault
        if isinstance(last, OSError) and not isinstance(last, TimeoutError):
            kind = last.kind if isinstance(last, ServerFault) else "unavailable"
            raise BadRow(
                kind,
                f"{last}, time and again; `uniaudio2 retry OUTPUT --only {kind}` tries it later",
            ) from fault
        raise BadRow(
            "fetch_timeout",
            f"not received within {timeout_s:g} s; raise load.timeout_s, or fetch the file first",
        ) from fault


def _patiently(
    uri: str, max_bytes: int, until: float, policy: AddressPolicy | None,
    byte_range: tuple[int, int] | None,
) -> BinaryIO:  # fmt: skip
    """Fetch, again after every pause that a server asks for: these are no failed tries."""
    while True:
        try:
            return _fetch(uri, max_bytes, until, policy, byte_range)
        except ServerFault as fault:
            if not fault.has_pause:
                raise


def _fetch(
    uri: str, max_bytes: int, until: float, policy: AddressPolicy | None,
    byte_range: tuple[int, int] | None,
) -> BinaryIO:  # fmt: skip
    login = _login(uri)
    for _ in range(_REDIRECTS + 1):
        PAUSES.wait(urlsplit(uri).netloc, until)
        with ended_at(until), _answer(uri, until, policy, login, byte_range) as answer:
            if answer.status not in (301, 302, 303, 307, 308):
                _check_status(answer, urlsplit(uri).netloc)
                return _body(answer, max_bytes, byte_range)
            target = urljoin(uri, answer.headers.get("Location", ""))
        if scheme_of(target) not in WEB:
            raise BadRow(
                "forbidden_address", "the server redirects to an address that is not http or https"
            )
        if policy is not None:
            policy.check(target)
        if urlsplit(target).netloc != urlsplit(uri).netloc:
            login = None
        uri = target
    raise BadRow("unreadable_file", f"more than {_REDIRECTS} redirects; name where the file is")


def _login(uri: str) -> str | None:
    parts = urlsplit(uri)
    if parts.username is None:
        return None
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"


@contextmanager
def _answer(
    uri: str, until: float, policy: AddressPolicy | None, login: str | None,
    byte_range: tuple[int, int] | None,
) -> Iterator[urllib3.BaseHTTPResponse]:  # fmt: skip
    """The server's answer, its body not read yet."""
    private = policy is None or policy.may_be_private(uri)
    headers = {"Accept-Encoding": "identity", "User-Agent": "uniaudio2-batch"}
    if login is not None:
        headers |= urllib3.make_headers(basic_auth=login)
    if byte_range is not None:
        headers["Range"] = f"bytes={byte_range[0]}-{byte_range[0] + max(byte_range[1], 1) - 1}"
    left_s = max(until - time.monotonic(), 0.001)
    timeout = urllib3.Timeout(connect=min(_CONNECT_S, left_s), read=left_s)
    asked = _without_login(uri)
    WATCH.may_be_private = private
    try:
        answer = pool_manager(private, os.getpid()).request(
            "GET", asked, headers=headers, timeout=timeout, redirect=False,
            preload_content=False,
        )  # fmt: skip
    except urllib3.exceptions.LocationParseError as fault:
        raise ValueError("not a valid host name") from fault
    except urllib3.exceptions.ReadTimeoutError as fault:
        raise TimeoutError from fault
    except HTTPError as fault:
        raise OSError(f"Cannot connect: {fault}") from fault
    try:
        yield answer
    except HTTPError as fault:
        raise OSError(f"the response broke off: {fault}") from fault
    finally:
        answer.close()  # or what is left of a long answer would be read first
        answer.release_conn()


def _without_login(uri: str) -> str:
    """The address that is asked: without login and fragment, its host the one that was judged.

    Raises:
        ValueError: the library that connects would read another host or port out of it.
    """
    parts = urlsplit(uri)
    asked = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    seen = urllib3.util.parse_url(asked)
    host, port = (seen.host or "").strip("[]").lower(), seen.port
    if (host, port) != ((parts.hostname or "").lower(), parts.port) or "\\" in parts.netloc:
        raise ValueError("its host is ambiguous")
    return asked


def _body(
    answer: urllib3.BaseHTTPResponse,
    max_bytes: int,
    byte_range: tuple[int, int] | None,
) -> BinaryIO:
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > max_bytes and byte_range is None:
        raise _too_large(int(announced), max_bytes)
    skip, wanted = 0, max_bytes + 1
    if byte_range is not None:
        wanted = byte_range[1]
        skip = 0 if answer.status == 206 else byte_range[0]  # this server knows no ranges
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
    try:
        for data in _blocks(answer.read1):
            data, skip = data[skip:], max(skip - len(data), 0)
            file.write(data[: wanted - file.tell()])
            if file.tell() >= wanted:
                break
        if byte_range is None and file.tell() > max_bytes:
            raise _too_large(file.tell(), max_bytes)
        if byte_range is not None and file.tell() < byte_range[1]:
            raise BadRow(
                "unreadable_file", "the file ends before what is wanted of it; fetch it anew"
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast(BinaryIO, file)


def _blocks(read1: Callable[[int], bytes]) -> Iterator[bytes]:
    while data := read1(_BLOCK_BYTES):
        yield data


def _check_status(answer: urllib3.BaseHTTPResponse, server: str) -> None:
    if answer.status in (200, 206):
        packing = answer.headers.get("Content-Encoding", "").strip().lower()
        if packing not in _UNPACKED or (packing not in _UNPACKED[:2] and answer.status == 206):
            raise BadRow(
                "unreadable_file",
                "the server packs it in a way that was not asked for (Content-Encoding); "
                "fetch the file first",
            )
        return
    if answer.status in _GONE:
        raise FileNotFoundError(f"the server answers {answer.status}")
    if answer.status in _AGAIN:
        pause_s = pause_asked(answer.status, answer.headers)
        if pause_s:
            PAUSES.begin(server, answer.status, pause_s)
        raise ServerFault(answer.status, pause_s > 0)
    raise PermissionError(f"the server answers {answer.status}")


def _too_large(size: int, max_bytes: int) -> BadRow:
    return BadRow(
        "too_large",
        f"{size} bytes or more; the limit is {max_bytes} bytes a file; cut it, or raise "
        "load.max_bytes",
    )
