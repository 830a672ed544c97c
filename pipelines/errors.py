"""What a user did wrong, and what stopped a run; each has its exit code."""

from __future__ import annotations

from uniaudio2.shown import MESSAGE_CHARACTERS, shown


class Told(Exception):
    """What a user is told in one line; the line may quote what is not ours, so it is `shown`."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(" ".join(str(message).split()), MESSAGE_CHARACTERS))


class UsageError(Told):
    """Wrong use: one line with value, rule and remedy. Exit code 2."""


class RunFailed(Told):
    """The run itself stopped; the same command goes on where it was. Exit code 1."""
