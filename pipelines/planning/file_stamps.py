"""Sizes and times of the files that a manifest's rows name, so that a replaced one is noticed."""

from __future__ import annotations

import os
import posixpath
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.audio_values import holds_lists_of_text, holds_text, listed_files
from actors.batch.names import AUDIO_COLUMNS, CODE_PATHS
from actors.storage.addresses import (
    LOCAL,
    AddressPolicy,
    is_store,
    local_path,
    resolve,
    scheme_of,
)
from actors.storage.file_systems import split_uri
from pipelines.planning.keys.row_keys import NO_STAMP, file_stamp
from pipelines.planning.units.row_sizes import Sizes
from uniaudio2.audio.embedded import is_embedded
from uniaudio2.tasks.spec import TaskSpec

_THREADS = 16
_LISTED_FROM = 16  # files of a folder in a store; fewer are asked for one by one
_FOLDERS_KEPT = 8
_LONGEST_NAME = 4096
_MISSING = file_stamp("missing")

_MOST_BYTES = 1 << 40  # which sums of many stay far from what 64 bits hold
_Facts = Mapping[str, Any]
_Looked = tuple[bytes, int]  # stamp and size
_UNSEEN: _Looked = (NO_STAMP, 0)
_Name = str | list[str | None] | None


class FileStamps:
    """Looks at the files of rows; what cannot be looked at, or may not be named, has no stamp.

    Local files are asked for their size and time, those in a store as their folder lists them. Web
    servers are not asked.

    Args:
        task: decides which columns name files; None for rows that name none.
        allow: what rows may name besides, see `AddressPolicy`.
        is_on: look at all.
    """

    def __init__(
        self, task: TaskSpec | None, allow: tuple[str, ...] = (), is_on: bool = True
    ) -> None:
        others = (*task.other_audio, *CODE_PATHS.values()) if task else ()
        names = (*AUDIO_COLUMNS, *others) if task and "audio" in task.columns else others
        self._all = frozenset(names)
        self._columns = names if is_on else ()
        self._allow = allow
        self._listed: OrderedDict[str, dict[str, _Facts]] = OrderedDict()
        self._lock = threading.Lock()
        self._listing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def names_none(self, columns: Iterable[str]) -> bool:
        """Whether none of some columns names files, looked at or not."""
        return self._all.isdisjoint(columns)

    def of_rows(self, table: pa.Table, base: str) -> list[bytes]:
        """A stamp for each row, see `look`."""
        return self.look(table, base)[0]

    def look(self, table: pa.Table, base: str) -> tuple[list[bytes], Sizes]:
        """A stamp for each row, and bytes of the files that it names, ``[N]``; 0 is not known.

        Args:
            table: rows of a manifest.
            base: its folder.
        """
        stamps, sizes = [NO_STAMP] * table.num_rows, np.zeros(table.num_rows, np.int64)
        policy = AddressPolicy(base, self._allow)
        for name in self._columns:
            names = _paths(table, name)
            if names is None:
                continue
            flat, lists = _flattened(names)
            looked = _of_lists(self._of_names(flat, policy), lists)
            for row, (stamp, size) in enumerate(looked):
                if stamp != NO_STAMP:
                    stamps[row] = (
                        stamp if stamps[row] == NO_STAMP else file_stamp(stamps[row], stamp)
                    )
                    sizes[row] += size
        return stamps, sizes

    def _of_names(self, names: Sequence[str | None], policy: AddressPolicy) -> list[_Looked]:
        """A stamp and a size for each name."""
        found = [_UNSEEN] * len(names)
        local: list[tuple[int, str]] = []
        stored: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for row, name in enumerate(names):
            if not name or len(name) > _LONGEST_NAME or is_embedded(name):
                continue
            address = resolve(name.partition("#bytes=")[0], policy.base)
            if scheme_of(address) in LOCAL:
                if not policy.is_remote or policy.allows(address):
                    local.append((row, local_path(address)))
            elif is_store(address) and not policy.refusal(address):
                stored[posixpath.dirname(address)].append((row, address))
        for row, looked in _of_local(local):
            found[row] = looked
        for folder, some in stored.items():
            facts = self._in_store(folder, [address for _, address in some])
            for row, address in some:
                found[row] = _looked(facts.get(posixpath.basename(address)))
        return found

    def _in_store(self, folder: str, addresses: Sequence[str]) -> dict[str, _Facts]:
        """Facts of files by their names; {} where the store does not tell."""
        if (known := self._known(folder)) is not None:
            return known
        if len(addresses) < _LISTED_FROM:
            return self._asked(folder, addresses)
        with self._lock:
            listing = self._listing[folder]
        with listing:  # several sources are read at once: one of them lists the folder
            known = self._known(folder)
            return self._list(folder) if known is None else known

    def _known(self, folder: str) -> dict[str, _Facts] | None:
        with self._lock:
            if folder in self._listed:
                self._listed.move_to_end(folder)
            return self._listed.get(folder)

    def _asked(self, folder: str, addresses: Sequence[str]) -> dict[str, _Facts]:
        """Facts of a few files of a folder."""
        fs, _ = split_uri(folder)
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                single = pool.map(lambda address: _info(fs, split_uri(address)[1]), addresses)
                return {posixpath.basename(a): f for a, f in zip(addresses, single, strict=True)}
        except Exception:  # stores raise what they like; the row's own fetch tells why
            return {}

    def _list(self, folder: str) -> dict[str, _Facts]:
        """Facts of all files of a folder, kept for the rows that follow."""
        fs, path = split_uri(folder)
        try:
            facts = {posixpath.basename(entry["name"]): entry for entry in fs.ls(path, detail=True)}
        except Exception:  # as above
            return {}
        with self._lock:
            self._listed[folder] = facts
            while len(self._listed) > _FOLDERS_KEPT:
                self._listed.popitem(last=False)
        return facts


def _info(fs: Any, path: str) -> _Facts:
    try:
        facts: _Facts = fs.info(path)
    except FileNotFoundError:
        return {}
    return facts


def _looked(facts: _Facts | None) -> _Looked:
    """The stamp of a file in a store, its ETag, or its time, and its size; and its size."""
    if facts is None:
        return _UNSEEN
    if not facts:
        return _MISSING, 0
    when = facts.get("ETag") or facts.get("LastModified") or facts.get("mtime") or ""
    return file_stamp(facts.get("size"), str(when)), _bounded(facts.get("size"))


def _bounded(size: object) -> int:
    """A size in bytes; 0 for what can be none."""
    return min(size, _MOST_BYTES) if isinstance(size, int) and size > 0 else 0


def _of_local(rows: Sequence[tuple[int, str]]) -> list[tuple[int, _Looked]]:
    """The stamps and sizes of local files; threads, for a disk may be a network's."""
    if len(rows) < _LISTED_FROM:
        return [_stat(row) for row in rows]
    step = -(-len(rows) // _THREADS)
    parts = [rows[at : at + step] for at in range(0, len(rows), step)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [
            one for part in pool.map(lambda some: list(map(_stat, some)), parts) for one in part
        ]


def _stat(row: tuple[int, str]) -> tuple[int, _Looked]:
    place, path = row
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return place, (_MISSING, 0)
    except (OSError, ValueError):
        return place, _UNSEEN
    stamp = file_stamp(facts.st_size, facts.st_mtime_ns)
    return place, (stamp, _bounded(facts.st_size))


def _flattened(names: Sequence[_Name]) -> tuple[list[str | None], dict[int, int]]:
    """Names one behind the other, and how many files each row that lists several has."""
    flat: list[str | None] = []
    lists: dict[int, int] = {}
    for row, name in enumerate(names):
        files = listed_files(name)
        if files:
            lists[row] = len(files)
            flat.extend(files)
        else:
            flat.append(name if isinstance(name, str) else None)
    return flat, lists


def _of_lists(files: Sequence[_Looked], lists: Mapping[int, int]) -> list[_Looked]:
    """Stamps and sizes of files as those of rows: one of all the files that a row lists."""
    if not lists:
        return list(files)
    left, found = iter(files), []
    for row in range(len(files) - sum(lists.values()) + len(lists)):
        own = [next(left) for _ in range(lists.get(row, 1))]
        stamps = [stamp for stamp, _ in own]
        is_seen = len(own) > 1 and any(stamp != NO_STAMP for stamp in stamps)
        size = sum(size for _, size in own)
        found.append((file_stamp(*stamps) if is_seen else stamps[0], size))
    return found


def _paths(table: pa.Table, name: str) -> Sequence[_Name] | None:
    """The names in a column, or lists of them; None where it has none."""
    if name not in table.column_names:
        return None
    column = table[name]
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("path") < 0:
            return None
        if column.type.get_field_index("bytes") >= 0:  # a name alone beside bytes
            is_held = pc.is_valid(pc.struct_field(column, "bytes"))
            paths = pc.struct_field(column, "path")
            column = pc.if_else(is_held, pa.scalar(None, paths.type), paths)
        else:
            column = pc.struct_field(column, "path")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (holds_text(column.type) or holds_lists_of_text(column.type)):
        return None
    try:
        names: list[_Name] = column.to_pylist()
    except UnicodeDecodeError:
        return None  # text that is none is a fault of its row
    return names
