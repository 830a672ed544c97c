"""Objects that are read where they are asked for, a block at a time, calls that end in time, and
members of zips."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from fsspec.asyn import AsyncFileSystem, sync

from actors.storage.file_systems import retrying
from actors.storage.web_connections import PAUSES, kind_of_status, pause_asked
from uniaudio2.errors import BadRow

_LIMITING = (429, 503)
ZIP_HEADER_BYTES = 30
IN_MEMORY_BYTES = 32 << 20
_ZIP_HEADER = struct.Struct("<4sHHHHHIIIHH")
_STORED, _DEFLATED = 0, 8
_INFLATED_BYTES = 1 << 20


class BlockReader(io.RawIOBase):
    """An object that is read where it is asked for.

    Args:
        read_range: reads the bytes from one place to another.
        size: of the object.

    Attributes:
        fault: why a read gave nothing; C libraries take an exception for the end of the file.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        self.fault: OSError | None = None
        self._read_range, self._size, self._at = read_range, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at or self.fault:
            return 0
        try:
            data = self._read_range(self._at, stop)
        except (OSError, ValueError) as fault:
            self.fault = fault if isinstance(fault, OSError) else OSError(str(fault))
            return 0
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class TimedCalls:
    """Calls of a store's file system, each of which ends in time.

    A hub that limits how often it is asked gets the pause that it wants, see `ServerPauses`.

    Args:
        fs: the file system.
        timeout_s: of one call, repeated tries included.
    """

    def __init__(self, fs: Any, timeout_s: float) -> None:
        self._fs, self._timeout_s = fs, timeout_s
        self._server = str(getattr(fs, "endpoint", ""))

    def __call__(self, method: str, path: str, what: str, **bounds: int) -> Any:
        until = time.monotonic() + self._timeout_s
        last_status = 0

        def once() -> Any:
            nonlocal last_status
            PAUSES.wait(self._server, until)
            try:
                if not isinstance(self._fs, AsyncFileSystem):
                    return getattr(self._fs, method)(path, **bounds)
                left_s = max(until - time.monotonic(), 0.001)
                call = getattr(self._fs, f"_{method}")
                return sync(self._fs.loop, call, path, timeout=left_s, **bounds)
            except FileNotFoundError as fault:
                if isinstance(fault.__cause__, OSError):
                    raise OSError(f"{what}: {fault.__cause__}") from fault  # it did not answer
                raise
            except Exception as fault:
                if type(fault).__name__ == "ParamValidationError":  # no bucket has such a name
                    raise ValueError(" ".join(str(fault).split())) from fault
                last_status = self._noted_status(fault)
                raise

        try:
            return retrying(once, what, until)
        except OSError as fault:
            if last_status not in _LIMITING or isinstance(fault, FileNotFoundError):
                raise
            kind = kind_of_status(last_status)
            raise BadRow(
                kind,
                f"{what}: the hub answers {last_status}, time and again; "
                f"`uniaudio2 retry OUTPUT --only {kind}` tries it later",
            ) from fault

    def _noted_status(self, fault: Exception) -> int:
        """The status that a hub answered with, its pause begun; 0 where no answer is known."""
        response = getattr(fault, "response", None)
        status = getattr(response, "status_code", 0)
        if status in _LIMITING and response is not None:
            PAUSES.begin(self._server, status, pause_asked(status, response.headers))
        return int(status)


def member_layout(header: bytes) -> tuple[int, bool]:
    """Where the bytes of a zip's member begin behind its header, and whether they are deflated.

    Args:
        header: the first `ZIP_HEADER_BYTES` of the member, see APPNOTE.TXT of PKWARE, 4.3.7.

    Raises:
        BadRow: `unreadable_file`: no member begins there, or one that is not read.
    """
    if len(header) == ZIP_HEADER_BYTES:
        mark, _, flags, method, *_, name_bytes, extra_bytes = _ZIP_HEADER.unpack(header)
        if mark == b"PK\3\4" and method in (_STORED, _DEFLATED) and not flags & 1:
            return ZIP_HEADER_BYTES + name_bytes + extra_bytes, method == _DEFLATED
    raise BadRow(
        "unreadable_file",
        "no member of the zip that can be read begins there; unpack it, or fetch it again",
    )


def inflated(file: BinaryIO, max_bytes: int) -> BinaryIO:
    """The contents of a deflated member; large ones in a temporary file without a name.

    Args:
        file: its packed bytes, to their end.
        max_bytes: most that it may unpack to.

    Raises:
        BadRow: `unreadable_file` or `too_large`.
        OSError: storage did not answer.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    result = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
    try:
        while not stream.eof:
            data = stream.unconsumed_tail or file.read(_INFLATED_BYTES)
            block = stream.decompress(data, _INFLATED_BYTES)
            result.write(block)
            if result.tell() > max_bytes:
                raise BadRow(
                    "too_large",
                    f"it unpacks to more than {max_bytes} bytes, the limit of a file; cut it, or "
                    "raise load.max_bytes",
                )
            if not data and not block and not stream.eof:
                raise zlib.error("incomplete")
        result.seek(0)
    except zlib.error as fault:
        result.close()
        raw = file.raw if isinstance(file, io.BufferedReader) else None
        if isinstance(raw, BlockReader) and raw.fault:
            raise raw.fault from None
        message = "a member of the zip is damaged; fetch the zip again"
        raise BadRow("unreadable_file", message) from fault
    except BaseException:
        result.close()
        raise
    return cast(BinaryIO, result)
