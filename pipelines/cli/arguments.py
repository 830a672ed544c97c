"""Exit codes and arguments that the commands share."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Annotated

import typer

ExecutorOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|ray|process|processes|inline",
        help="auto: Ray, but one process for a few rows; processes: one a CPU; inline: to debug",
    ),
]
KeepWarmOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="with --address: workers stay, models loaded, so long after the run, as 10m",
    ),
]
EXIT_FAILED, EXIT_USAGE = 1, 2
BEGUN_S = time.monotonic()
"""When the command was given: this is among the first modules that it imports."""


def open_address(value: str | None) -> str | None:
    """An address as it is given, refused if it holds a secret: it is printed and stored."""
    from pipelines.config.own_addresses import check_place

    check_place("address", value or "")
    return value


def versions() -> str:
    """Our version, and those of what a run depends on, without importing any of it."""
    found = [f"uniaudio2-batch {_version('uniaudio2-batch')}", f"Python {python_version()}"]
    return ", ".join([*found, *(f"{name} {_version(name)}" for name in ("torch", "ray"))])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
