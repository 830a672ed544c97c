"""The one exception that becomes a row of the errors table."""

from __future__ import annotations

from uniaudio2.shown import MESSAGE_CHARACTERS, shown


class BadRow(Exception):
    """One input row cannot be done, and trying again would not help.

    Everything else that is raised is a fault of the device or of the program and is retried.

    Args:
        kind: short stable name such as ``unreadable_audio``; the errors table groups by it.
        message: value, rule and remedy in one line. It may name what the manifest says, never
            what a file holds: whoever writes a manifest may not be allowed to read the file.
    """

    def __init__(self, kind: str, message: str) -> None:
        message = shown(message, MESSAGE_CHARACTERS)
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str]]:
        return type(self), (self.kind, self.message)
