"""The one exception that becomes a row of the errors table."""

from __future__ import annotations


class BadRow(Exception):
    """One input row cannot be done, and trying again would not help.

    Everything else that is raised is a fault of the device or of the program and is retried.

    Args:
        kind: short stable name such as ``unreadable_audio``; the errors table groups by it.
        message: value, rule and remedy in one line.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str]]:
        return type(self), (self.kind, self.message)
