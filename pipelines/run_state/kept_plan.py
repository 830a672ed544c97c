"""The plan that an OUTPUT keeps: keys of rows by source, so that a resume need not read the corpus.

A shard ``_log/plan/….parquet`` holds what planning keeps of the rows of some sources, and the
``.json`` of its name says which: each by its address, size and ETag or time, and by all that keys
depend on. Both go by the hash of the shard's bytes, and the facts bear a seal. What is damaged, of
another version or a stranger's is as if it were not there: those sources are read again.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage.local_folder import ForeignPath
from actors.storage.object_store import Storage
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.scan import ReadArchive
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.row_index import index_settings
from pipelines.run_state.commit_record import PLAN, PLAN_NAME
from pipelines.run_state.kept.archives import ARCHIVES_VERSION, KeptArchives
from pipelines.run_state.kept.shards import PLAN_VERSION, PlanShards, indexed
from pipelines.run_state.seals import is_sealed, seal

_MOST_SHARD_BYTES = 256 << 20
_MOST_FACTS_BYTES = 256 << 20
_MOST_SHARDS = 4096
_READ_THREADS = 16
_Facts = dict[str, Any]


@dataclass(frozen=True)
class _Piece:
    """Rows of a source in a shard: `count` of them from row `start` of it on, and the first of them
    in the source."""

    shard: str
    start: int
    count: int
    first: int


class KeptPlan:
    """What earlier runs kept of a plan, and what this one adds.

    Args:
        storage: OUTPUT.
        is_read: what is there is read; a fresh run takes nothing from it.
    """

    def __init__(self, storage: Storage, is_read: bool = True) -> None:
        self._storage = storage
        self._marks: dict[str, list[int | str]] = {}
        self._tables: dict[tuple[str, str], tuple[int, pa.Schema]] = {}
        self._pieces: dict[tuple[str, str, str], list[_Piece]] = {}
        self._used: set[str] = set()
        self._shard: tuple[str, pa.Table] | None = None
        self._new = PlanShards()
        self._own: dict[str, pa.Schema] = {}
        self._is_whole = True
        self._archives = KeptArchives(self._archive_shards)
        self._archive_facts: list[str] = []
        self.has_shards = False
        if is_read:
            self._read()

    def _read(self) -> None:
        try:
            paths = self._storage.list(PLAN)
        except ForeignPath:
            return
        names = [path for path in paths if PLAN_NAME.fullmatch(path) and path.endswith(".json")]
        self.has_shards = bool(names)
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            for facts in pool.map(self._facts, names[:_MOST_SHARDS]):
                if facts is not None:
                    self._take(facts)

    def _facts(self, path: str) -> _Facts | None:
        """The facts of a shard; None where they are not this user's, of this place and version."""
        try:
            facts: Any = json.loads(self._storage.read(path, _MOST_FACTS_BYTES))
        except (OSError, ForeignPath, ValueError, RecursionError):
            return None
        if not isinstance(facts, dict):
            return None
        found = facts.pop("seal", None)
        is_ours = is_sealed(facts, self._storage.address, found)
        is_named = facts.get("shard") == path.removesuffix(".json")
        is_read = facts.get("version") in (PLAN_VERSION, ARCHIVES_VERSION)
        return facts if is_ours and is_named and is_read else None

    def _take(self, facts: _Facts) -> None:
        """Take in the sources of a shard."""
        shard = facts["shard"]
        self._marks[shard] = facts["mark"]
        if facts["version"] == ARCHIVES_VERSION:
            self._archive_facts.append(shard)
            return
        schemas = [_schema(text) for text in facts["schemas"]]
        for uri, identity, rows, schema, settings, start, count, first in facts["sources"]:
            self._tables[uri, identity] = rows, schemas[schema]
            pieces = self._pieces.setdefault((uri, identity, settings), [])
            pieces.append(_Piece(shard, start, count, first))

    def table(self, uri: str, identity: str) -> tuple[int, pa.Schema] | None:
        """Rows and columns of a file that is what it was; None where it must be read."""
        return self._tables.get((uri, identity))

    def note(self, uri: str, schema: pa.Schema) -> None:
        """Take in the columns of a file as it has them."""
        self._own[uri] = schema

    def archive(self, uri: str, identity: str, settings: str) -> ReadArchive | None:
        """What was kept of an archive that is what it was; None where it must be read."""
        return self._archives.get(uri, identity, settings)

    def keep_archive(self, uri: str, identity: str, settings: str, read: ReadArchive) -> None:
        """Take in what was read of an archive."""
        self._archives.keep(uri, identity, settings, read)

    def _archive_shards(self) -> Iterator[tuple[str, bytes]]:
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            read = pool.map(self._bytes_of, self._archive_facts)
            for shard, data in zip(self._archive_facts, read, strict=True):
                if data is not None:
                    yield shard, data

    def has(self, source: Source) -> bool:
        """Whether something was kept of a source as it is."""
        return (source.uri, source.identity, index_settings(source)) in self._pieces

    def rows(self, source: Source, count: int) -> Iterator[IndexedRows]:
        """What was kept of the first `count` rows of a source, as far as it holds."""
        self._is_whole &= count == source.rows
        key = source.uri, source.identity, index_settings(source)
        used, place = list[str](), 0
        for piece in sorted(self._pieces.get(key, ()), key=lambda one: (one.first, -one.count)):
            if piece.first < place or place == count:
                continue
            table = self._table_of(piece.shard)
            if table is None or piece.first > place:
                return
            rows = min(piece.count, count - place)
            yield indexed(table.slice(piece.start, rows))
            used.append(piece.shard)
            place += rows
        if place == count:
            self._used.update(used)

    def _table_of(self, shard: str) -> pa.Table | None:
        """The rows of a shard; None where it is not what it was."""
        if self._shard is None or self._shard[0] != shard:
            data = self._bytes_of(shard)
            if data is None:
                return None
            self._shard = shard, pq.read_table(pa.BufferReader(data))
        return self._shard[1]

    def _bytes_of(self, shard: str) -> bytes | None:
        """The bytes of a shard; None where it is not what it was."""
        try:
            data = self._storage.read(f"{shard}.parquet", _MOST_SHARD_BYTES)
        except (OSError, ForeignPath):
            return None
        return data if _mark(data) == self._marks.get(shard) else None

    def keeping(
        self, source: Source, rows: Iterator[IndexedRows], count: int
    ) -> Iterator[IndexedRows]:
        """The rows of a source, which are kept once `store` is called.

        Args:
            source: of the manifest.
            rows: what planning keeps of it.
            count: how many rows of it are taken; it is kept where these are all.
        """
        own = self._own.get(source.uri)
        if count < source.rows or own is None:
            self._is_whole &= count == source.rows
            yield from rows
            return
        for batch in rows:
            self._new.add(source, own, batch)
            yield batch

    def store(self, is_whole: bool = True) -> None:
        """Put what is new into OUTPUT, then remove shards that no source is in any more.

        Args:
            is_whole: the plan has all sources of INPUT.
        """
        archives = ((data, {"version": ARCHIVES_VERSION}) for data in self._archives.close())
        for data, facts in itertools.chain(self._new.close(), archives):
            shard = f"{PLAN}/{hashlib.blake2b(data, digest_size=8).hexdigest()}"
            facts |= {"shard": shard, "mark": _mark(data)}
            self._storage.put(f"{shard}.parquet", data)
            facts["seal"] = seal(facts, self._storage.address)
            self._storage.put(f"{shard}.json", json.dumps(facts, sort_keys=True).encode())
            self._used.add(shard)
        self._used |= self._archives.used
        if is_whole and self._is_whole:
            there = [path for path in self._storage.list(PLAN) if PLAN_NAME.fullmatch(path)]
            gone = [path for path in there if path.rpartition(".")[0] not in self._used]
            self._storage.delete_many([path for path in gone if path.endswith(".json")])
            self._storage.delete_many([path for path in gone if not path.endswith(".json")])


def _mark(data: bytes) -> list[int | str]:
    return [len(data), hashlib.blake2b(data, digest_size=16).hexdigest()]


def _schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))


def kept_plan(storage: Storage, recorded: Mapping[str, Any] | None, fresh: bool) -> KeptPlan | None:
    """The plan that an OUTPUT keeps; None where records of earlier builds are in it, which know
    rows by more than a plan keeps.

    Args:
        storage: OUTPUT.
        recorded: its ``run.json``.
        fresh: what is there goes.
    """
    kept = KeptPlan(storage, is_read=recorded is not None and not fresh)
    return kept if recorded is None or fresh or kept.has_shards else None
