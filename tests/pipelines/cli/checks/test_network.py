"""Proxies and addresses of the environment that send runs astray are named."""

from __future__ import annotations

import socket

import pytest
import ray

from pipelines.cli.checks.network import check_proxy, check_ray_address


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
    for name in (*names, *map(str.upper, names), "RAY_ADDRESS", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_proxy_for_this_machine_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_proxy().found == "none is set"
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example:3128")
    found = check_proxy()
    assert found.passed and "NO_PROXY=localhost,127.0.0.1" in found.hint
    assert "for localhost and 127.0.0.1, too" in found.found and "secret" not in found.found
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    found = check_proxy()
    assert not found.passed and found.found.endswith("where AWS_ENDPOINT_URL leads")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    found = check_proxy()
    assert found.passed and not found.hint


@pytest.mark.usefixtures("cluster")
def test_a_stale_address_of_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_ray_address().passed
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        found = check_ray_address()
    assert "(from RAY_ADDRESS): Connection refused" in found.found
    assert "`unset RAY_ADDRESS`" in found.remedy
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    found = check_ray_address()
    assert found.passed and "a cluster answers" in found.found
