"""Files that are too long for memory: written to a temporary file, stored whole at the end."""

from __future__ import annotations

import gzip
import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from actors.storage.object_store import Storage

_RUN_LINES = 100_000


class Spool:
    """Lines of one file of the export.

    Args:
        storage: where it goes.
        path: its name there; one that ends in ``.gz`` is compressed.
    """

    def __init__(self, storage: Storage, path: str) -> None:
        self.storage = storage
        self.path = path
        self._folder = tempfile.TemporaryDirectory()
        self._local = Path(self._folder.name) / "lines"
        self._file: IO[bytes] | gzip.GzipFile = self._local.open("wb")
        if path.endswith(".gz"):
            self._file.close()
            self._file = gzip.GzipFile(self._local, "wb", mtime=0)  # equal lines, equal bytes

    def write(self, line: str) -> None:
        """Add a line."""
        self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Store the file."""
        self._file.close()
        self.storage.put_file(self.path, self._local)
        self._folder.cleanup()


class SortedSpool:
    """Lines of one file in the order of their bytes, equal ones once, whatever their number.

    Args:
        storage: where it goes.
        path: its name there.
        run_lines: lines that are sorted in memory at once.
    """

    def __init__(self, storage: Storage, path: str, run_lines: int = _RUN_LINES) -> None:
        self.storage = storage
        self.path = path
        self._run_lines = run_lines
        self._lines: list[bytes] = []
        self._runs: list[IO[bytes]] = []
        self._open = ExitStack()

    def write(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line.encode("utf-8", "backslashreplace") + b"\n")
        if len(self._lines) >= self._run_lines:
            self._end_run()

    def _end_run(self) -> None:
        run = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by it
        run.writelines(sorted(self._lines))
        run.seek(0)
        self._runs.append(run)
        self._lines.clear()

    def _merged(self) -> Iterator[bytes]:
        last = b""
        for line in heapq.merge(*self._runs, sorted(self._lines)):
            if line != last:
                yield line
            last = line

    def close(self) -> None:
        """Store the file; without a line there is none."""
        with self._open, tempfile.TemporaryDirectory() as folder:
            if not self._runs and not self._lines:
                return
            local = Path(folder) / "lines"
            with local.open("wb") as file:
                file.writelines(self._merged())
            self.storage.put_file(self.path, local)
