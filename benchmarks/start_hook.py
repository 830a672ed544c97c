"""Notes what a process spends its first seconds on. It is put on the path as ``sitecustomize``, so
that it is the first module of every process of a run, whichever build's; see `start_processes`."""

import atexit
import contextlib
import functools
import importlib._bootstrap as bootstrap
import json
import os
import sys
import threading
import time

FOLDER = os.environ.get("UNIAUDIO2_START_NOTES", "")
# module, function, what its time is
WATCHED = (
    ("ray._private.worker", "init", "ray"),
    ("pipelines.jobs.driver", "Run.execute", "run"),
    ("pipelines.run", "Run.execute", "run"),
    ("pipelines.report.page", "write_report", "report"),
    ("uniaudio2.entrypoints.model", "UniAudio2.load", "model"),
    ("uniaudio2.model", "UniAudio2.load", "model"),
    ("uniaudio2.runtime.memory_budget", "calibrate", "calibration"),
    ("uniaudio2.budget", "calibrate", "calibration"),
    ("actors.stages.fault_boundary", "FaultBoundary.call", "call"),
    ("actors.guard", "Guard.call", "call"),
)
_LEAST_S = 0.003


def _started() -> float:
    """When this process began, in seconds since 1970."""
    with open("/proc/self/stat") as file:  # noqa: PTH123 - pathlib would be an import of its own
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime") as file:  # noqa: PTH123 - as above
        up_s = float(file.read().split()[0])
    return time.time() - (up_s - ticks / os.sysconf("SC_CLK_TCK"))


def _install(folder: str) -> None:
    path = f"{folder}/{os.getpid()}.jsonl"
    notes = open(path, "a", buffering=1)  # noqa: SIM115, PTH123 - as long as the process lives
    depth = threading.local()
    load = bootstrap._find_and_load

    def note(what: str, begin: float, **facts: object) -> None:
        facts |= {"what": what, "begin": begin, "end": time.time()}
        with contextlib.suppress(ValueError):  # closed at the very end
            notes.write(json.dumps(facts) + "\n")

    def watched(name: str) -> None:
        for module, function, what in WATCHED:
            if module == name and name in sys.modules:
                owner: object = sys.modules[name]
                *above, last = function.split(".")
                for one in above:
                    owner = getattr(owner, one, None)
                found = getattr(owner, "__dict__", {}).get(last)
                if found is not None and not hasattr(found, "noted"):
                    setattr(owner, last, timed(found, what))

    def timed(found: object, what: str) -> object:
        is_method = isinstance(found, staticmethod | classmethod)
        plain = found.__func__ if is_method else found  # type: ignore[attr-defined]

        @functools.wraps(plain)
        def call(*given: object, **named: object) -> object:
            begin = time.time()
            try:
                return plain(*given, **named)
            finally:
                note(what, begin, stage=getattr(given[0], "name", "") if given else "")

        call.noted = True  # type: ignore[attr-defined]
        return type(found)(call) if is_method else call  # type: ignore[call-arg]

    def find_and_load(name: str, import_: object) -> object:
        level = depth.level = getattr(depth, "level", 0) + 1
        begin = time.time()
        try:
            return load(name, import_)
        finally:
            depth.level = level - 1
            if level == 1 and time.time() - begin > _LEAST_S:
                note("import", begin)
            watched(name)

    begun = _started()
    with open("/proc/self/cmdline") as file:  # noqa: PTH123 - as above
        note("process", begun, command=file.read().split("\0")[:8])
    bootstrap._find_and_load = find_and_load
    atexit.register(lambda: note("end", time.time()))


if FOLDER:
    _install(FOLDER)
