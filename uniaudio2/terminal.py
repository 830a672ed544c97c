"""What is written to a terminal or a log: all of it passes here, and so through `shown`."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any, TextIO

from uniaudio2.shown import shown, without_secrets

_SAID_CHARACTERS = 1 << 20


def say(text: str, error: bool = False, lines: bool = False) -> None:
    """Write a line.

    Args:
        text: may quote what is not ours.
        error: to stderr instead of stdout.
        lines: the text is several lines; what it quotes is in one line each.
    """
    _write(shown(text, _SAID_CHARACTERS, keep="\n" if lines else ""), error)


def say_json(facts: Any) -> None:
    """Write facts as one line of JSON, which escapes every sign that is not plain ASCII.

    It is never cut; addresses in it have lost their login and their query.
    """
    _write(json.dumps(_without_secrets(facts)), False)


def print_libraries_too() -> None:
    """Let what libraries warn of and log to stderr by default pass here as well."""
    warnings.showwarning = _warn
    if logging.lastResort:
        logging.lastResort.setFormatter(_Shown())


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file, line  # of the signature that Python calls
    say(f"{filename}:{lineno}: {category.__name__}: {message}", error=True)


class _Shown(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record), _SAID_CHARACTERS, keep="\n")


def _write(text: str, error: bool) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


def _without_secrets(facts: Any) -> Any:
    if isinstance(facts, str):
        return without_secrets(facts)
    if isinstance(facts, dict):
        return {_without_secrets(key): _without_secrets(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_without_secrets(value) for value in facts]
    return facts
