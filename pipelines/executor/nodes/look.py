"""What a node sees: its code, its disks, its memory, its clock.

`look` travels to nodes by value, so that it also runs where our code is another build or missing;
hence it imports the standard library alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple


class Question(NamedTuple):
    """What a node is asked.

    Attributes:
        code: packages whose files are hashed.
        packages: distributions whose versions are told.
        paths: files and folders whose sizes are told.
        model: the folder of a model; "" for none.
        model_files: files in it that are compared.
        remote_model: address of a model that is fetched by nodes; "" for none.
        asked: a file that the driver wrote; "" for none.
        says: what stands in it.
        answer: a file to write beside it; "" for none.
    """

    code: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    model: str = ""
    model_files: tuple[str, ...] = ()
    remote_model: str = ""
    asked: str = ""
    says: str = ""
    answer: str = ""


class Look(NamedTuple):
    """What a node answers.

    Attributes:
        versions: of distributions, and of ``python``; "" where one is not installed.
        code: hash of our packages' files; "" where they are not.
        sizes: bytes of each path, 0 for a folder, None where nothing is.
        model: size and hash of the beginning of each of the model's files.
        model_fault: why the model cannot be fetched there; "" where it can.
        output_fault: what is wrong with OUTPUT there, in words; "" for nothing.
        free_bytes: of the disks of OUTPUT, of temporary files and of Ray's folder.
        full: how full each of them is, 0 to 1.
        memory_bytes: that are free.
        clock_s: seconds since 1970, as the answer left.
    """

    versions: dict[str, str]
    code: str
    sizes: dict[str, int | None]
    model: dict[str, str]
    model_fault: str
    output_fault: str
    free_bytes: dict[str, int]
    full: dict[str, float]
    memory_bytes: int
    clock_s: float


def look(question: tuple[Any, ...]) -> tuple[Any, ...]:
    """Look at a node from within.

    Args:
        question: a `Question`, as a plain tuple: classes of ours may be others there.

    Returns:
        a `Look`, as a plain tuple.
    """
    asked = Question(*question)
    output_fault = _look_at_output(asked) if asked.asked else ""
    disks = {"output": os.path.dirname(asked.asked), "tmp": tempfile.gettempdir()}
    disks["ray"] = ray_folder()
    free = {name: _disk(path) for name, path in disks.items() if path}
    return tuple(
        Look(
            versions={"python": platform.python_version()}
            | {name: _version(name) for name in asked.packages},
            code=code_hash(asked.code),
            sizes={path: size_of(path) for path in asked.paths},
            model={name: file_mark(os.path.join(asked.model, name)) for name in asked.model_files},
            model_fault=_reach(asked.remote_model) if asked.remote_model else "",
            output_fault=output_fault,
            free_bytes={name: found[0] for name, found in free.items() if found},
            full={name: found[1] for name, found in free.items() if found},
            memory_bytes=free_memory(),
            clock_s=time.time(),
        )
    )


def _look_at_output(question: Question) -> str:
    """See what the driver wrote, and answer it."""
    try:
        if question.says not in Path(question.asked).read_text():
            return "a file of that name holds something else there"
        if question.answer:
            Path(question.answer).write_text(question.says)
    except FileNotFoundError:
        return "what this machine wrote is not there"
    except OSError as fault:
        return fault.strerror or type(fault).__name__
    return ""


def code_hash(packages: tuple[str, ...]) -> str:
    """The same where the same Python and JSON files are; "" where a package is missing."""
    digest = hashlib.blake2b(digest_size=8)
    for name in packages:
        spec = importlib.util.find_spec(name)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if not folders:
            return ""
        files = [path for kind in ("*.py", "*.json") for path in Path(folders[0]).rglob(kind)]
        for path in sorted(files):
            digest.update(f"{name}/{path.relative_to(folders[0]).as_posix()}\0".encode())
            digest.update(hashlib.blake2b(path.read_bytes()).digest())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def size_of(path: str) -> int | None:
    """Bytes of a file that can be read, 0 for a folder, None where there is neither."""
    try:
        if not os.access(path, os.R_OK):
            return None
        return 0 if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return None


def file_mark(path: str) -> str:
    """Size of a file and a hash of its first MiB; "" where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(1 << 20)
        return f"{os.stat(path).st_size}:{hashlib.blake2b(head, digest_size=8).hexdigest()}"
    except OSError:
        return ""


def _reach(model: str) -> str:
    """Why the folder of a model cannot be listed from here; in a thread, for stores are patient."""
    found = ["it did not answer within 30 s"]

    def ask() -> None:
        try:
            from actors.storage.model_cache import list_folder

            list_folder(model)
            found[0] = ""
        except Exception as fault:  # of whatever library serves it, or our code is not there
            found[0] = f"{type(fault).__name__}: {fault}"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    return found[0]


def ray_folder() -> str:
    """Where the Ray that this process is a worker of puts what memory does not hold; "" unknown."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    for word in words:
        if word.startswith(b"--session_dir="):
            return os.fsdecode(word.partition(b"=")[2])
    return ""


def _disk(path: str) -> tuple[int, float] | None:
    """Free bytes of a disk and how full it is."""
    try:
        facts = os.statvfs(path)
    except OSError:
        return None
    return facts.f_bavail * facts.f_frsize, 1 - facts.f_bavail / max(facts.f_blocks, 1)


def free_memory() -> int:
    """Bytes of memory that can still be had, within the limit of a container; 0 unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) << 10 for line in lines if "MemAvailable" in line), 0)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no container, or no limit
        return free
    return min(free, max(limit - used, 0))
