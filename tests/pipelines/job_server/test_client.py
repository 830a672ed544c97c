"""Where nothing takes jobs, one line says what does."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.errors import RunFailed, UsageError
from pipelines.job_server.client import check_answers, find_server, is_server_address


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, and nobody listens
        with pytest.raises(RunFailed, match=r"no job server answers.*batch\[cluster\] where its"):
            find_server(f"http://127.0.0.1:{port}/")
        with pytest.raises(RunFailed, match="no Ray cluster answers"):
            find_server(f"127.0.0.1:{port}")
        monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{port}")
        with pytest.raises(RunFailed, match="no job server answers"):
            find_server(None)
        taken.listen()
        assert find_server(f"http://127.0.0.1:{port}/") == f"http://127.0.0.1:{port}"


def test_what_takes_no_jobs() -> None:
    with pytest.raises(UsageError, match="takes no jobs"):
        find_server("ray://head:10001")


def test_addresses_of_job_servers() -> None:
    assert is_server_address("https://head")
    assert not is_server_address("head:6379")
    assert not is_server_address(None)


class _Server(BaseHTTPRequestHandler):
    """Answers as a job server does, and notes that it was asked."""

    def do_GET(self) -> None:
        self.server.asked = True  # type: ignore[attr-defined] # what this test notes
        body = json.dumps({"version": "4", "ray_version": "2", "ray_commit": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.mark.parametrize("variable", ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"])
def test_the_server_that_is_given_is_asked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client would ask the one that the environment names."""
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
        check_answers(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        assert server.asked  # type: ignore[attr-defined] # as above
    assert os.environ[variable] == "http://127.0.0.1:9"
