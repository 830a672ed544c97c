"""What a user did wrong, and what stopped a run; each has its exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uniaudio2.shown import MESSAGE_CHARACTERS, shown
from uniaudio2.terminal import say

GOES_ON = "the same command goes on where it was"
NOTHING_DONE = "nothing was computed"
STAYS = "what is committed stays"


@dataclass(frozen=True)
class Cause:
    """One kind of failure that stops a run, see `pipelines.causes`.

    Attributes:
        key: for machines; the `cause` of ``--json``.
        words: for people, first in the line.
        when: what has happened, for the documentation.
        remedy: what to do about it, where the place that failed knows nothing better.
        then: how the line ends: what has become of the work.
    """

    key: str
    words: str
    when: str
    remedy: str
    then: str

    @property
    def goes_on(self) -> bool:
        """Whether the same command does what is left, without a change of it."""
        return self.then == GOES_ON


class Told(Exception):
    """What a user is told in one line; the line may quote what is not ours, so it is `shown`."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(" ".join(str(message).split()), MESSAGE_CHARACTERS))


class UsageError(Told):
    """Wrong use: one line with value, rule and remedy. Exit code 2."""


class RunFailed(Told):
    """The run itself stopped. Exit code 1.

    Args:
        message: one line with value, rule and remedy.
        cause: the kind of failure; None where there is no table of them, as in an export.
    """

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.cause = cause


# how this process says what ends it where nothing can be raised any more; the last one is asked
TELLERS: list[Callable[[RunFailed], object]] = [lambda fault: say(f"stopped: {fault}", error=True)]
