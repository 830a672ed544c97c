"""What listens where, as the kernel tells."""

from __future__ import annotations

import os
import socket

import pytest

from pipelines.executor.ports import Port, ray_ports


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")],  # noqa: S104
)
def test_a_port_of_this_process_is_seen(family: int, address: str) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        server.listen()
        wanted = Port("driver", address, server.getsockname()[1])
        assert wanted in ray_ports()
        assert wanted.is_open_to_others is (address == "0.0.0.0")  # noqa: S104
    assert wanted not in ray_ports()


@pytest.mark.usefixtures("cluster")
def test_rays_servers_are_seen_and_ask_for_the_token() -> None:
    from pipelines.cli.doctor import check_ports

    names = {port.process for port in ray_ports()}
    assert {"driver", "gcs_server", "raylet"} <= names
    found = check_ports(None)
    assert found.passed
    assert "asks for the token" in found.found
    assert str(os.getpid()) not in found.found
