"""Where nothing takes jobs, one line says what does."""

from __future__ import annotations

import socket

import pytest

from pipelines.errors import RunFailed, UsageError
from pipelines.job_server.client import find_server, is_server_address


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
