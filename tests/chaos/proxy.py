"""A bad network in front of an S3 server: a seeded share of the requests goes wrong.

The hard fault is the lost answer: the request is passed on and takes effect, and the client sees
nothing but a closed connection.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

KINDS = {"500": 2, "503": 2, "delay": 2, "cut_before": 2, "lost_answer": 3}
LONGEST_DELAY_S = 1.0
_ERROR_XML = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>injected</Message>'
    "<RequestId>chaos</RequestId></Error>"
)
_CODES = {"500": "InternalError", "501": "NotImplemented", "503": "SlowDown"}
_OF_MANY = "/_log/units/9"  # their records are numbered from 90,000,000
_HOP_HEADERS = ("connection", "transfer-encoding", "expect")


@dataclass(frozen=True)
class Passed:
    """A request that reached the server.

    Attributes:
        at: monotonic seconds when the server had answered.
        method: of the request.
        path: unquoted path, bucket first, no query.
        status: what the server answered, whether or not the client saw it.
        body: what was written, of a commit record of many units.
    """

    at: float
    method: str
    path: str
    status: int
    body: bytes = b""


class FaultProxy:
    """Serve on a free port of 127.0.0.1 and pass requests on to `target`.

    Args:
        target: ``http://host:port`` of the S3 server.
        rate: share of requests that go wrong.
        seed: of the draws; their order is the order in which requests arrive.
        kinds: kinds of faults with their weights.

    Attributes:
        conditions: what becomes of ``If-None-Match``: other servers ignore or refuse it.
    """

    def __init__(
        self, target: str, rate: float = 0.0, seed: int = 0, kinds: dict[str, int] | None = None
    ) -> None:
        self.target = urlsplit(target)
        self.rate = rate
        self.kinds = dict(kinds or KINDS)
        self.conditions: Literal["kept", "ignored", "refused"] = "kept"
        self.injected: Counter[str] = Counter()
        self.passed: list[Passed] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where clients reach the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def draw(self, method: str) -> str | None:
        """The fault of the next request, or None; counts it."""
        with self._lock:
            if self._random.random() >= self.rate:
                return None
            names, weights = zip(*self.kinds.items(), strict=True)
            kind: str = self._random.choices(names, weights)[0]
            self.injected[f"{kind} {method}"] += 1
            return kind

    def delay_s(self) -> float:
        """How long a delayed request waits."""
        with self._lock:
            return self._random.uniform(0.05, LONGEST_DELAY_S)

    def note(self, method: str, path: str, status: int, body: bytes = b"") -> None:
        """Remember a request that changed something, whether or not its answer gets through."""
        if method in ("PUT", "POST", "DELETE"):
            with self._lock:
                where = unquote(urlsplit(path).path)
                kept = body if _OF_MANY in where else b""
                self.passed.append(Passed(time.monotonic(), method, where, status, kept))

    def written(self, prefix: str) -> list[Passed]:
        """PUTs below a path that took effect, in order."""
        with self._lock:
            passed = list(self.passed)
        return [
            p for p in passed if p.method == "PUT" and p.status < 300 and p.path.startswith(prefix)
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed leave broken connections: nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        body = self._body()
        kind = self._unconditional() or self.server.proxy.draw(self.command)
        if kind == "cut_before":
            self._cut()
        elif kind in _CODES:
            self._answer_fault(int(kind), _CODES[kind])
        else:
            if kind == "delay":
                time.sleep(self.server.proxy.delay_s())
            status, headers, data = self._pass_on(body)
            self._answer(status, headers, data, lose=kind == "lost_answer")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - the library's names

    def _unconditional(self) -> str | None:
        if self.server.proxy.conditions == "kept" or "If-None-Match" not in self.headers:
            return None
        del self.headers["If-None-Match"]
        return "501" if self.server.proxy.conditions == "refused" else None

    def _body(self) -> bytes:
        """The whole request body, so that a cut never passes on half an object."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue
        return b"".join(pieces)

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        proxy = self.server.proxy
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_HEADERS}
        headers["Content-Length"] = str(len(body))
        upstream = http.client.HTTPConnection(str(proxy.target.hostname), proxy.target.port)
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        proxy.note(self.command, self.path, answer.status, body)
        return answer.status, answer.getheaders(), data

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, lose: bool) -> None:
        """Hand the answer on. A lost one is cut: half of a body, or nothing at all."""
        if lose and not (self.command == "GET" and data):
            self._cut()
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in (*_HOP_HEADERS, "content-length"):
                self.send_header(name, value)
        length = len(data)
        if self.command == "HEAD":
            length = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if lose else data)
        if lose:
            self._cut()

    def _answer_fault(self, status: int, code: str) -> None:
        data = b"" if self.command == "HEAD" else _ERROR_XML.format(code=code).encode()
        self._answer(status, [("Content-Type", "application/xml")], data, lose=False)

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
