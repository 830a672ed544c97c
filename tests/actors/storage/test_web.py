"""Files from web servers that rows chose: real servers, slow, sly and broken ones."""

from __future__ import annotations

import gzip
import http.server
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest

from actors.storage import web
from actors.storage.addresses import AddressPolicy
from actors.storage.web import open_web
from uniaudio2.errors import BadRow

OPEN = AddressPolicy("/data", ("http://127.0.0.1:{port}/",))


class _Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers))
        page = self.path.split("?")[0].strip("/").replace("/", "_")
        getattr(self, f"page_{page}", self.page_gone)()

    def _send(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def page_a(self) -> None:
        self._send(200, bytes(range(100)))

    def page_gone(self) -> None:
        self._send(404)

    def page_later(self) -> None:
        """Once in a second, and what asks too early is told when to come."""
        server, now = self.server, time.time()
        if now < server.opens:
            wait = formatdate(server.opens + 0.999, usegmt=True) if server.is_date else "1"
            return self._send(429, Retry_After=wait)
        return self._send(200, b"there")

    def page_never(self) -> None:
        self._send(503, Retry_After=self.server.wait)

    def page_limited(self) -> None:
        self._send(429, RateLimit='"resolvers";r=0;t=30')

    def page_fails(self) -> None:
        self._send(int(self.path.partition("?")[2]))

    def page_deflated(self) -> None:
        self._send(200, zlib.compress(b"there"), Content_Encoding="deflate")

    def page_brotli(self) -> None:
        self._send(200, b"there", Content_Encoding="br")

    def page_closed(self) -> None:
        self._send(403, b"the secret page")

    def page_busy(self) -> None:
        busy = sum(path == "/busy" for path, _ in self.server.seen) < 3
        self._send(503 if busy else 200, b"" if busy else b"there", Retry_After="0")

    def page_zipped(self) -> None:
        self._send(200, gzip.compress(bytes(5_000_000)), Content_Encoding="gzip")

    def page_round(self) -> None:
        self._send(302, Location="/round")

    def page_on(self) -> None:
        self._send(302, Location=self.server.target)

    def page_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"abc", b"de"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def page_torn(self) -> None:
        self.close_connection = True
        if sum(path.startswith("/torn") for path, _ in self.server.seen) > 1:
            self._send(200, b"there")

    def page_short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"abc")
        self.close_connection = True

    def page_endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self._drip(b"x")

    def page_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self._drip(b"x")

    def _drip(self, data: bytes) -> None:
        self.close_connection = True
        try:
            for _ in range(100):
                self.wfile.write(data)
                time.sleep(0.1)
        except OSError:
            self.server.let_go.set()

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    target = "/a"
    opens, is_date, wait = 0.0, False, "30"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.let_go = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def policy(self) -> AddressPolicy:
        return AddressPolicy("/data", (self.url + "/",))


@pytest.fixture
def server() -> Iterator[_Server]:
    found = _Server()
    yield found
    found.shutdown()
    found.server_close()


def get(
    uri: str, policy: AddressPolicy | None = None, max_bytes: int = 1000, timeout_s: float = 20.0
) -> bytes:
    with open_web(uri, max_bytes, timeout_s, policy) as file:
        return file.read()


def kind_of(action: Callable[[], object]) -> str:
    with pytest.raises(BadRow) as caught:
        action()
    assert "secret" not in caught.value.message
    return caught.value.kind


def test_what_servers_give(server: _Server) -> None:
    assert get(f"{server.url}/a", server.policy) == bytes(range(100))
    assert get(f"{server.url}/a?X-Amz-Signature=s%2B1", server.policy) == bytes(range(100))
    assert server.seen[-1][0] == "/a?X-Amz-Signature=s%2B1"
    assert get(f"{server.url}/chunked", server.policy) == b"abcde"
    assert get(f"{server.url}/busy", server.policy) == b"there"
    with pytest.raises(PermissionError, match="403"):
        get(f"{server.url}/closed", server.policy)
    with pytest.raises(FileNotFoundError):
        get(f"{server.url}/gone", server.policy)


def test_a_part_with_and_without_ranges(server: _Server) -> None:
    with open_web(f"{server.url}/a", 1000, 20.0, None, (10, 5)) as file:
        assert file.read() == bytes(range(10, 15))
    assert server.seen[-1][1]["Range"] == "bytes=10-14"
    assert kind_of(lambda: open_web(f"{server.url}/a", 1000, 20.0, None, (98, 5))) == (
        "unreadable_file"
    )


def test_nothing_is_read_beyond_the_limit(server: _Server) -> None:
    assert kind_of(lambda: get(f"{server.url}/a", max_bytes=99)) == "too_large"
    assert kind_of(lambda: get(f"{server.url}/chunked", max_bytes=4)) == "too_large"
    assert kind_of(lambda: get(f"{server.url}/zipped", max_bytes=100_000)) == "too_large"


@pytest.mark.parametrize("page", ["endless", "headers"])
def test_a_byte_now_and_then_ends_in_time(server: _Server, page: str) -> None:
    start = time.monotonic()
    assert kind_of(lambda: get(f"{server.url}/{page}", timeout_s=0.5)) == "fetch_timeout"
    assert time.monotonic() - start < 5
    assert server.let_go.wait(5)


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        assert kind_of(lambda: get(uri, timeout_s=0.4)) == "fetch_timeout"


def test_an_answer_that_breaks_off_is_tried_again(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.storage.file_systems.ATTEMPTS", 2)
    assert kind_of(lambda: get(f"{server.url}/short?sig=secret")) == "unavailable"
    assert len(server.seen) == 2
    assert get(f"{server.url}/torn") == b"there"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert kind_of(lambda: get(f"http://127.0.0.1:{port}/a?sig=secret")) == "unavailable"


@pytest.mark.parametrize("is_date", [False, True])
def test_a_server_that_limits_is_asked_again_when_it_says(server: _Server, is_date: bool) -> None:
    """By many rows at once: each that came too early comes once more, and none before its time."""
    server.opens, server.is_date = time.time() + 0.9, is_date
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: get(f"{server.url}/later", server.policy), range(24)))
    assert found == [b"there"] * 24
    assert time.time() > server.opens
    assert len(server.seen) <= 24 + 8


def test_a_pause_that_does_not_end_in_time_is_told_apart(server: _Server) -> None:
    start = time.monotonic()
    with pytest.raises(BadRow, match=r"answers 503 and wants 30 s .*retry OUTPUT --only unav") as e:
        get(f"{server.url}/never", timeout_s=0.3)
    assert e.value.kind == "unavailable"
    assert kind_of(lambda: get(f"{server.url}/a", timeout_s=0.2)) == "unavailable"
    assert [path for path, _ in server.seen] == ["/never"]  # all rows leave it alone
    assert 0.5 <= time.monotonic() - start < 3


def test_a_pause_of_hours_costs_no_time(server: _Server) -> None:
    server.wait, start = "86400", time.monotonic()
    for _ in range(3):
        assert kind_of(lambda: get(f"{server.url}/never")) == "unavailable"
    assert time.monotonic() - start < 3
    assert len(server.seen) == 1


def test_the_hubs_own_header_of_limits(server: _Server) -> None:
    assert kind_of(lambda: get(f"{server.url}/limited", timeout_s=0.2)) == "too_many_requests"
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_fails_is_tried_again(
    server: _Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("actors.storage.file_systems.ATTEMPTS", 2)
    expected = "too_many_requests" if status == 429 else "unavailable"
    assert kind_of(lambda: get(f"{server.url}/fails?{status}")) == expected
    assert len(server.seen) == 2


def test_what_servers_pack_is_unpacked_or_refused(server: _Server) -> None:
    assert get(f"{server.url}/zipped", max_bytes=5_000_000) == bytes(5_000_000)
    assert get(f"{server.url}/deflated") == b"there"
    assert kind_of(lambda: get(f"{server.url}/brotli")) == "unreadable_file"


def test_redirects_are_addresses_like_any_other(server: _Server) -> None:
    assert get(f"{server.url}/on", server.policy) == bytes(range(100))
    assert kind_of(lambda: get(f"{server.url}/round", server.policy)) == "unreadable_file"
    other = _Server()
    try:
        for target in (
            f"{other.url}/a", "http://169.254.169.254/latest", "http://localhost:1/", "file:///etc/x",
            "gopher://x/", "//127.0.0.1:1/a", "http://[::1]/",
        ):  # fmt: skip
            server.target = target
            found = kind_of(lambda: get(f"{server.url}/on", server.policy))
            assert found == "forbidden_address", target
        assert other.seen == []
    finally:
        other.shutdown()
        other.server_close()


def test_a_public_name_that_leads_inside_is_asked_nothing(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name says nothing; the connection does. Only the answer of the name service is ours."""
    real = socket.getaddrinfo

    def lies(host: Any, *given: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "corpus.example" else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lies)
    uri = f"http://corpus.example:{server.server_port}/a"
    policy = AddressPolicy("/data")
    policy.check(uri)
    assert kind_of(lambda: get(uri, policy)) == "forbidden_address"
    assert server.seen == []
    # nor through a connection that an allowed row left open
    allowed = AddressPolicy("/data", (f"http://corpus.example:{server.server_port}/",))
    assert get(uri, allowed) == bytes(range(100))
    assert kind_of(lambda: get(uri, policy)) == "forbidden_address"
    assert len(server.seen) == 1


@pytest.mark.parametrize("trick", ["?@", "#@", "/@", "?x@", "#a:b@"])
def test_what_is_asked_is_what_was_judged(server: _Server, trick: str) -> None:
    """A name with a second host in it, where the first is allowed."""
    other = _Server()
    try:
        uri = f"{server.url}{trick}127.0.0.1:{other.server_port}/a"
        with suppress(BadRow, OSError, ValueError):
            get(uri, server.policy)
        assert other.seen == []
    finally:
        other.shutdown()
        other.server_close()


def test_a_login_goes_to_its_own_server_alone(server: _Server) -> None:
    other = _Server()
    try:
        server.target = f"{other.url}/a"
        policy = AddressPolicy("/data", (server.url + "/", other.url + "/"))
        get(f"http://me:pw@127.0.0.1:{server.server_port}/on", policy)
        assert server.seen[0][1]["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.seen[0][1]
    finally:
        other.shutdown()
        other.server_close()


def test_connections_are_kept_and_no_handle_stays(server: _Server) -> None:
    for _ in range(3):
        get(f"{server.url}/a", server.policy)
    assert web.WATCH.handle is None
