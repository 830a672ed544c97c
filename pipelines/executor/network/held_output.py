"""What Ray's C++ core writes past every logger: held back, and kept where it matters."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2
_PREFIX = "uniaudio2-ray-"
_MOST_BYTES = 1 << 20
_LOGS = ("gcs_server.out", "gcs_server.err", "raylet.out", "raylet.err")


class HeldOutput:
    """Bytes that were written to file descriptor 2 while it was held."""

    def __init__(self) -> None:
        self.said = b""

    def keep(self, session: Path | None = None) -> str:
        """Write it to a log file that stays.

        Args:
            session: folder of a Ray's session, whose servers' own logs are added.

        Returns:
            the path, or "" where there is nothing to keep or no room for it.
        """
        parts = [self.said]
        for name in _LOGS if session else ():
            path = Path(session or "", "logs", name)
            try:
                text = path.read_bytes()[-_MOST_BYTES // len(_LOGS) :]
            except OSError:
                continue
            parts.append(f"\n== {name}\n".encode() + text if text else b"")
        said = b"".join(parts)
        if not said.strip():
            return ""
        try:
            number, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".log")
            with os.fdopen(number, "wb") as file:
                file.write(said)
        except OSError:
            return ""
        return name


@contextmanager
def hold_stderr() -> Iterator[HeldOutput]:
    """Hold back what this process writes to file descriptor 2."""
    output = HeldOutput()
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), _STDERR)
        try:
            yield output
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            os.close(kept)
            file.seek(0)
            output.said = file.read(_MOST_BYTES)
