"""A Parquet row group that many units have rows of: read once a machine, for all its processes.

Writers of tables put thousands of clips into one row group, and often into one page of it, so
whoever wants 32 of them has to read and unpack all. The process that wants some first writes the
group's batches to a temporary file without a name, and the others find that file through the
process that holds it open. It is mapped, so that each takes from it no more than its own rows, and
it is gone when the last process that holds it ends, however it ends.

Where there is no room, or a batch cannot be written, the group is read by each as if it were alone.

Source: proc(5), ``/proc/[pid]/fd``; the streaming format of Apache Arrow.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from actors.columnar.dictionaries import DENSE

_PREFIX = "uniaudio2-groups-"
_SLOTS = 64  # files that tell who holds what; groups that share one wait for each other
_HELD = 2  # groups that a process keeps: units come in order
_LINES = 64  # of a slot
_BEGUN = "begun"  # in the place of a process: what it read may have ended it
_AGAIN_S = 3600.0
_SMALL_BYTES = 64 << 20
_MOST_BYTES = 16 << 30

_MARKS = {"ETag", "etag", "mtime", "LastModified", "last_modified", "blob_id"}

Batches = Iterator[tuple[int, pa.RecordBatch]]


class SharedGroup:
    """The batches of a row group in a temporary file.

    Args:
        descriptor: of the file, which is closed with this object.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb")
        # mapped: what is read of it are the pages of the rows that are wanted
        with pa.memory_map(f"/proc/self/fd/{descriptor}") as mapped:
            data = mapped.read_buffer()
        self._data = data
        end = len(data) - 8
        size = int.from_bytes(data.slice(end).to_pybytes(), "little")
        self._places: list[tuple[int, int]] = json.loads(data.slice(end - size, size).to_pybytes())
        self._firsts = [first for first, _ in self._places]

    @property
    def place(self) -> str:
        """Where other processes of this machine find the file while this one holds it."""
        facts = os.fstat(self._file.fileno())
        return f"{os.getpid()} {self._file.fileno()} {facts.st_dev} {facts.st_ino}"

    def batches(self, start: int, most_rows: int) -> Batches:
        """Batches from the one that holds row `start` on, and the first row of each.

        They have at most `most_rows`, however long those are that were written.
        """
        for first, offset in self._places[max(bisect_right(self._firsts, start) - 1, 0) :]:
            with pa.ipc.open_stream(self._data.slice(offset)) as stream:
                batch = stream.read_next_batch()
            for begin in range(0, batch.num_rows, most_rows):
                yield first + begin, batch.slice(begin, most_rows)


_held: OrderedDict[str, SharedGroup | None] = OrderedDict()
_lock = threading.Lock()


def file_state(file: Any) -> str | None:
    """What tells an open file from another one of its name; None where nothing does."""
    try:
        facts = os.fstat(file.fileno())
        return f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
    except (AttributeError, OSError):
        details = getattr(file, "details", None)
    if not isinstance(details, dict) or not _MARKS & details.keys():
        return None
    return repr(sorted(details.items()))


def shared_group(
    key: str,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    packed: int,
    unpacked: int,
    in_advance: bool = False,
) -> SharedGroup | None:
    """The group that a key stands for, as some process of this machine has written it.

    Args:
        key: tells the file, its state, the group and how it is read.
        batches: reads the group from its beginning; called where no process has it.
        packed: bytes of it in its file.
        unpacked: bytes that it takes, as its file says.
        in_advance: it is for others, later; so it does not take the place of another one.

    Returns:
        None where it cannot be shared; then it is read as it is. So it is where reading it fails:
        what is wrong with its last row is no matter of its first.
    """
    with _lock:
        if key not in _held:
            if in_advance and len(_held) >= _HELD:
                return None
            try:
                with _slot(key) as slot:
                    _held[key] = _found(slot, key) or _written(
                        slot, key, batches, max(packed * DENSE, _SMALL_BYTES), unpacked
                    )
            except (pa.ArrowException, OSError, ValueError):  # as no room, no /proc, a bad page
                _held[key] = None
        _held.move_to_end(key)
        while len(_held) > _HELD:
            _held.popitem(last=False)
        return _held[key]


@contextmanager
def _slot(key: str) -> Iterator[BinaryIO]:
    """The file that tells who holds a group, locked: whoever comes second waits for the first."""
    folder = Path(tempfile.gettempdir(), f"{_PREFIX}{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise PermissionError(f"{folder} is no folder of this user alone")
    number = int(hashlib.blake2b(key.encode(), digest_size=4).hexdigest(), 16) % _SLOTS
    descriptor = os.open(folder / f"{number:02d}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as slot:
        fcntl.flock(slot, fcntl.LOCK_EX)
        yield slot


def _found(slot: BinaryIO, key: str) -> SharedGroup | None:
    """The group as another process holds it."""
    for line in reversed(_lines(slot)):
        name, _, place = line.partition(" ")
        if name != _digest(key):
            continue
        with suppress(OSError, ValueError):
            process, number, device, inode = map(int, place.split())
            path = f"/proc/{process}/fd/{number}"
            facts = os.stat(path)  # that process may have ended, and another one have its number
            if (facts.st_dev, facts.st_ino) == (device, inode):
                return _noted(slot, key, SharedGroup(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
    return None


def _written(
    slot: BinaryIO,
    key: str,
    batches: Callable[[], Iterable[pa.RecordBatch]],
    most: int,
    expected: int,
) -> SharedGroup | None:
    """The group, written here; None where it takes more than `most` bytes, or all of the room, or
    where the last who tried ended within."""
    folder = tempfile.gettempdir()
    most = min(most, _MOST_BYTES, shutil.disk_usage(folder).free // 2)
    tried_s = [float(line.split()[2]) for line in _lines(slot) if line.startswith(_begun(key))]
    if expected > most or (tried_s and 0 <= time.time() - tried_s[-1] < _AGAIN_S):
        return None
    _note(slot, key, f"{_BEGUN} {int(time.time())}")
    with tempfile.TemporaryFile(dir=folder) as file:
        _write(file, batches(), most)
        return _noted(slot, key, SharedGroup(os.dup(file.fileno())))


def _write(file: BinaryIO, batches: Iterable[pa.RecordBatch], most: int) -> None:
    """Batches, each a stream of its own, for their dictionaries differ; then where each begins."""
    places, row = [], 0
    for batch in batches:
        places.append((row, file.tell()))
        with pa.ipc.new_stream(file, batch.schema) as writer:
            writer.write_batch(batch)
        row += batch.num_rows
        if file.tell() > most:
            raise OSError("no room")
    index = json.dumps(places).encode()
    file.write(index + len(index).to_bytes(8, "little"))
    file.flush()


def _begun(key: str) -> str:
    return f"{_digest(key)} {_BEGUN} "


def _noted(slot: BinaryIO, key: str, group: SharedGroup) -> SharedGroup:
    _note(slot, key, group.place)
    return group


def _note(slot: BinaryIO, key: str, place: str) -> None:
    others = [line for line in _lines(slot) if not line.startswith(_begun(key))]
    lines = [*others, f"{_digest(key)} {place}"][-_LINES:]
    slot.seek(0)
    slot.truncate()
    slot.write("\n".join(lines).encode())
    slot.flush()


def _lines(slot: BinaryIO) -> list[str]:
    slot.seek(0)
    return slot.read().decode("ascii", "replace").splitlines()


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
