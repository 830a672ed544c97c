"""Commands in documents: found, and checked against the command line's own tree."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import typer.main

from pipelines.cli.commands import app


def joined_lines(lines: Iterable[str]) -> list[str]:
    """Lines with their continuations, without comments at their ends."""
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [re.sub(r"\s+#.*", "", line).strip() for line in whole.splitlines()]


def of_uniaudio2(words: list[str]) -> dict[str, Any]:
    """The parameters that the command line reads from ``uniaudio2 COMMAND ...``.

    Raises:
        typer's usage error: no such command, option or number of arguments.
    """
    assert words[0] == "uniaudio2"
    group: Any = typer.main.get_command(app)
    command = group.commands[words[1]]
    return dict(command.make_context(words[1], words[2:]).params)


def check_parses(words: list[str]) -> None:
    """Fail unless the command line knows the command, its options and its arguments."""
    of_uniaudio2(words)
