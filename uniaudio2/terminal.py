"""What is written to a terminal or a log: all of it passes here, and so through `shown`."""

from __future__ import annotations

import json
import sys
from typing import Any

from uniaudio2.shown import shown, without_secrets

_SAID_CHARACTERS = 1 << 20


def say(text: str, error: bool = False) -> None:
    """Write a text and a line's end; several lines stay several.

    Args:
        text: may quote what is not ours.
        error: to stderr instead of stdout.
    """
    _write(shown(text, _SAID_CHARACTERS, keep="\n"), error)


def say_json(facts: Any) -> None:
    """Write facts as one line of JSON, which escapes every sign that is not plain ASCII.

    It is never cut; addresses in it have lost their login and their query.
    """
    _write(json.dumps(_without_secrets(facts)), False)


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
