"""Exit codes and arguments that the commands share."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Annotated

import typer

from uniaudio2.checkpoint.folders import DEFAULT_MODEL

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
TaskArgument = Annotated[
    str, typer.Argument(help="what to do: one of `uniaudio2 tasks`, or a YAML file of your own")
]
InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="manifest or folder, local or URL")
]
OutputArgument = Annotated[str, typer.Argument(metavar="OUTPUT", help="folder, local or URL")]
ModelOption = Annotated[
    str | None,
    typer.Option(help=f"bundled model, model folder or URL of one [default: {DEFAULT_MODEL}]"),
]
ConfigOption = Annotated[str | None, typer.Option(help="YAML file of settings")]
SetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="one setting, dotted: sampling.top_k=20; `uniaudio2 settings` lists them"
    ),
]
MapsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=COLUMN",
        help="a column of INPUT by the name that is read: audio=path (repeatable)",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", metavar="paths", help="the lines of INPUT are paths of audio"),
]
LimitOption = Annotated[int | None, typer.Option(help="use only the first rows")]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="encode|generate|decode", help="stop after this stage and keep its codes"),
]
SeedOption = Annotated[int | None, typer.Option(help="seed of every random draw [default: 0]")]
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
