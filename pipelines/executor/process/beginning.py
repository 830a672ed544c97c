"""Starts the worker of a small run, before anything that the driver itself has to import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from typing import TYPE_CHECKING

from pipelines.executor.network.withheld import is_withheld

if TYPE_CHECKING:
    from pipelines.config.job import JobConfig

_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pipelines.executor.process.worker import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]))"
)
_END_S = 5.0


class Beginning:
    """A worker process that runs, or is about to.

    It searches modules where this process does, in the same order, and nowhere else; secrets of the
    environment that no stage can need are not in its own.

    Args:
        verbose: let it print.
        job: what it may build at once; None waits until it is asked.

    Attributes:
        driver: the driver's end of the connection.
    """

    def __init__(self, verbose: bool = False, job: JobConfig | None = None) -> None:
        self.driver, theirs = Pipe()
        environment = {n: value for n, value in os.environ.items() if not is_withheld(n, value)}
        silent = None if verbose else subprocess.DEVNULL
        words = [json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        self.process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-c", _CODE, *words], env=environment, stdin=subprocess.DEVNULL,
            stdout=silent, stderr=silent, pass_fds=(theirs.fileno(),),
        )  # fmt: skip
        theirs.close()
        if job is not None:
            self.driver.send(("prepare", job))

    def end(self) -> None:
        """End it, whatever it is at."""
        with suppress(OSError):
            self.driver.close()
        self.process.kill()
        self.process.wait(_END_S)
