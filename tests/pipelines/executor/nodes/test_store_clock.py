"""A store's clock, read from a server."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from pipelines.executor.nodes.store_clock import store_ahead_s


class Refusing(BaseHTTPRequestHandler):
    """A store that lets nobody in, whose clock stands still."""

    date = "Sat, 01 Jan 2000 00:00:00 GMT"

    def do_HEAD(self) -> None:
        self.send_response_only(403)
        self.send_header("Date", self.date)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_the_date_of_a_refusal_is_a_clock(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    ahead_s = store_ahead_s("s3://bucket/out")
    assert ahead_s is not None
    assert ahead_s > 20 * 365 * 86400
    monkeypatch.setattr(Refusing, "date", "yesterday")
    assert store_ahead_s("s3://bucket/out") is None
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert store_ahead_s("s3://bucket/out") is None
    assert store_ahead_s("/a/folder") is None
