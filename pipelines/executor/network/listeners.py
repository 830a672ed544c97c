"""Who listens at an address, told by its first words; and whether this machine hears itself."""

from __future__ import annotations

import re
import socket
from typing import Literal

Listener = Literal["grpc", "web", "redis", "silent", "other"]

ANSWER_S = 10.0
# what a client of HTTP/2, and so of gRPC, says first: RFC 9113, 3.4, and a frame of settings
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_HEAD, _SETTINGS = 9, 4
# of RESP, the protocol of Redis: an error, a status, a number or a string
_REDIS = re.compile(rb"[-+][A-Z]{2,}\b|[:$]-?\d+\r\n")


def who_listens(host: str, port: int, wait_s: float = ANSWER_S) -> Listener:
    """Say hello in HTTP/2 and judge the answer.

    Args:
        host: name or numeric address.
        port: of TCP.
        wait_s: longest wait for the connection, and again for the answer.

    Raises:
        OSError: there is no such host, or nobody listens.
    """
    with socket.create_connection((host, port), wait_s) as line:
        said = b""
        try:
            line.sendall(_HELLO)
            while len(said) < _FRAME_HEAD and (more := line.recv(64)):
                said += more
        except TimeoutError:
            pass
        except OSError:
            return "other"  # it hung up
    return _judged(said)


def _judged(said: bytes) -> Listener:
    if not said:
        return "silent"
    if said.startswith((b"HTTP/", b"<")):
        return "web"
    if _REDIS.match(said):
        return "redis"
    is_frame = len(said) >= _FRAME_HEAD and said[3] == _SETTINGS and not said[0]
    return "grpc" if is_frame else "other"


def loopback_fault() -> str:
    """Why this machine cannot connect to itself at 127.0.0.1, in words; "" where it can."""
    try:
        with socket.socket() as ear:
            ear.bind(("127.0.0.1", 0))
            ear.listen(1)
            socket.create_connection(ear.getsockname(), ANSWER_S / 2).close()
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""
