"""Sources of a manifest: its files and tables, and how Parquet and Arrow files become one."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.columnar.arrow_stream import ArrowStream
from actors.columnar.file_rows import open_parquet
from actors.columnar.views import plain_schema
from actors.prefetch.in_order import in_order
from actors.prefetch.in_processes import Memory, Readers
from actors.prefetch.parquet_ranges import Ahead, begun, kept
from actors.prefetch.spool import Spool
from actors.storage.addresses import LOCAL, is_store, scheme_of
from actors.storage.fetch import read_head
from actors.storage.file_systems import REQUESTS_AT_ONCE, retrying, split_uri
from pipelines.errors import UsageError
from pipelines.manifest.tables.scan import KnownTables, Scan
from uniaudio2.audio.sniff import HEAD_BYTES, POINTER, is_pointer
from uniaudio2.errors import BadRow

_LOCAL_THREADS = 8
AT_ONCE = 256  # files that a process is given
_AHEAD, _SPOOL = "ahead", "spool"
Facts = Mapping[str, Any]
"""What a file system tells of a file: `size`, `ETag` and others."""


@dataclass(frozen=True)
class Source:
    """One source of a manifest: a file, or the table of a folder.

    Attributes:
        uri: where it is.
        identity: size and modification mark, so that a changed file is noticed.
        rows: its row count.
        schema: its columns.
        table: the rows themselves, for formats that are read whole; None for Parquet and Arrow.
        constants: columns that are the same in all its rows, see `constants_text`.
        names: what its columns are called in `schema`, and where ids come from, see
            `ColumnNames.text`; a `table` has them by these names.
        pinned: rows point inside the file, so a changed file changes what they mean.
        again: reads a text manifest by another scan; None for all other sources.
        audio_base: the folder that relative audio paths start in; "" is the file's own.
        ahead: what was read of a Parquet file in a store with its footer; None for all others.
        reader: number of the process that read it, see `Readers`; None for this one.
        places: columns that say where a row stands, which is no part of what makes it the same.
    """

    uri: str
    identity: str
    rows: int
    schema: pa.Schema
    table: pa.Table | None = None
    pinned: bool = False
    constants: str = ""
    places: tuple[str, ...] = ()
    names: str = ""
    audio_base: str = ""
    ahead: Ahead | None = field(default=None, compare=False, repr=False)
    reader: int | None = field(default=None, compare=False, repr=False)
    again: Callable[[Scan], Source] | None = field(default=None, compare=False, repr=False)

    @property
    def base(self) -> str:
        """The folder that relative audio paths start in."""
        return self.audio_base or posixpath.dirname(self.uri)


def check_base(uri: str, scan: Scan) -> None:
    """Refuse a folder for relative audio paths that cannot serve an INPUT.

    Raises:
        UsageError: it is not there, or opens this machine's disks to a manifest from elsewhere.
    """
    if not scan.base or scheme_of(scan.base) not in LOCAL:
        return
    if not os.path.isdir(scan.base):
        raise UsageError(f"manifest.base {scan.base}: no such folder; correct the path")
    if scheme_of(uri) not in LOCAL:
        raise UsageError(
            f"manifest.base {scan.base} is a local folder and {uri} is not: what comes from "
            "elsewhere may not name local files; copy the manifest to this machine first"
        )


def with_base(source: Source, scan: Scan) -> Source:
    """A source whose relative audio paths start where a scan says; those inside a tar are whole."""
    return replace(source, audio_base=scan.base) if scan.base and not source.pinned else source


def files_source(uri: str, mark: str, table: pa.Table, scan: Scan) -> Source:
    """The files that INPUT consists of, instead of a manifest of them.

    Args:
        uri: their folder, ending in a slash, or the one file.
        mark: see `Source.identity`.
        table: a row for each.
        scan: by which they were found.

    Raises:
        UsageError: their paths are said to start elsewhere.
    """
    if scan.base:
        raise UsageError(
            f"{uri}: these files are the rows themselves; manifest.base is for manifests that name "
            "files: leave it out"
        )
    return Source(uri, mark, table.num_rows, table.schema, table)


def ids_apart(sources: list[Source], names: list[str]) -> list[Source]:
    """Sources of tables; where an id occurs more than once in them, all begin with their source's
    name.

    Args:
        sources: of one INPUT.
        names: one for each.
    """
    keys = Counter(key for source in sources for key in _ids(source))
    if not keys or keys.most_common(1)[0][1] == 1:
        return sources
    return [_named(source, name) for source, name in zip(sources, names, strict=True)]


def later_ids_apart(sources: list[Source], names: list[str]) -> list[Source]:
    """As `ids_apart`, but a source whose ids no source before it has keeps them: what is done of
    it stays what it is whichever sources follow."""
    seen, found = set[str](), []
    for source, name in zip(sources, names, strict=True):
        apart = source if seen.isdisjoint(_ids(source)) else _named(source, name)
        seen.update(_ids(apart))
        found.append(apart)
    return found


def _ids(source: Source) -> list[str]:
    """Ids of a table's rows; a tar that is damaged from the start has a row, but no ids."""
    table = source.table
    return table["id"].to_pylist() if table and "id" in table.column_names else []


def _named(source: Source, name: str) -> Source:
    ids = _ids(source)
    if source.table is None or not ids:
        return source
    names = pa.array([f"{name}/{row_id}" for row_id in ids], pa.string())
    table = source.table.set_column(source.table.column_names.index("id"), "id", names)
    return replace(source, table=table, schema=table.schema)


def identity(uri: str) -> str:
    fs, path = split_uri(uri)
    return identity_of(retrying(lambda: fs.info(path), f"looking at {uri}"))


def identity_of(facts: Mapping[str, Any]) -> str:
    """The identity of a file by what its file system tells of it."""
    mark = facts.get("ETag") or facts.get("mtime") or facts.get("LastModified") or ""
    return f"{facts.get('size')}:{mark}"


def fault_of(fault: BaseException) -> str:
    """Describe a fault of a file in words that hold nothing of it."""
    if isinstance(fault, UnicodeDecodeError):
        return "text that is not valid UTF-8"
    return str(fault) or "a length in it is beyond all memory"


@contextmanager
def _readable(uri: str, kind: str) -> Iterator[None]:
    """Say of a damaged file what is wrong with it; lengths and names in it may be anything."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as fault:
        with suppress(BadRow, OSError):
            if is_pointer(read_head(uri, HEAD_BYTES)):
                raise UsageError(f"{uri} is {POINTER}") from fault
        raise UsageError(f"{uri}: {fault_of(fault)}; a readable {kind} file is needed") from fault


def parquet_source(uri: str) -> Source:
    """A Parquet file by its footer alone."""
    with _readable(uri, "Parquet"), open_parquet(uri) as file:
        schema = plain_schema(file.schema_arrow)
        _ = schema.names  # raises where one is no text
        return Source(uri, identity(uri), file.metadata.num_rows, schema)


def threads_for(uris: Iterable[str]) -> int:
    """How many files are read at once: of a store as many as it answers at once."""
    return REQUESTS_AT_ONCE if any(map(is_store, uris)) else _LOCAL_THREADS


def parquet_sources(
    uris: Sequence[str], facts: Mapping[str, Facts], scan: Scan | None = None
) -> list[Source]:
    """Parquet files by their footers alone, many read at once.

    Args:
        uris: of the files.
        facts: what a store's listing tells of them, by address; files without are asked for it.
        scan: tells which footers need not be read, and by which processes very many are.

    Raises:
        UsageError: a file cannot be read; the first of them in order.
    """
    known, readers = (scan.known, scan.readers) if scan else (None, None)
    schemas = dict[pa.Schema, pa.Schema]()
    before: dict[str, Source] = {}
    if known:
        looked = in_order(lambda uri: _known_source(uri, facts.get(uri), known), uris,
                          1 if facts else _LOCAL_THREADS)  # fmt: skip
        before = {source.uri: source for source in looked if source}
    others = [(uri, facts.get(uri)) for uri in uris if uri not in before]
    new = iter(_read_sources(others, readers))
    found = []
    for uri in uris:
        source = before.get(uri) or next(new)
        schema = schemas.setdefault(source.schema, source.schema)  # thousands are alike
        if known:
            known.note(source.uri, schema)
        found.append(source if schema is source.schema else replace(source, schema=schema))
    return found


_Asked = tuple[str, Facts | None]


def _read_sources(asked: Sequence[_Asked], readers: Readers | None) -> Iterator[Source]:
    """Files that must be read, in their order."""
    if readers is None or not readers.are_worth(len(asked)):
        yield from _threaded(asked, Spool())
        return

    def read(first: int) -> list[Source]:
        number = first // AT_ONCE
        there = readers.call(number, _read_beside, asked[first : first + AT_ONCE])
        return [replace(source, reader=number) for source in there]

    for some in in_order(read, range(0, len(asked), AT_ONCE), readers.count):
        yield from some


def _read_beside(memory: Memory, asked: Sequence[_Asked]) -> list[Source]:
    """As `_threaded`, in a process, which keeps what it read ahead; see `read_ahead`."""
    found, schemas = [], dict[pa.Schema, pa.Schema]()
    ahead = memory.setdefault(_AHEAD, {})
    for source in _threaded(asked, memory.setdefault(_SPOOL, Spool())):
        ahead[source.uri, source.identity] = source.ahead
        schema = schemas.setdefault(source.schema, source.schema)
        found.append(replace(source, schema=schema, ahead=None))
    return found


def read_ahead(memory: Memory, source: Source) -> Source:
    """A source with what this process read of its file, once."""
    ahead = memory.get(_AHEAD, {}).pop((source.uri, source.identity), None)
    return source if ahead is None else replace(source, ahead=ahead)


def _threaded(asked: Sequence[_Asked], spool: Spool) -> Iterator[Source]:
    def read(one: _Asked) -> Source:
        uri, listed = one
        return parquet_source(uri) if listed is None else _listed_source(uri, listed, spool)

    yield from in_order(read, asked, threads_for(uri for uri, _ in asked))


def _known_source(uri: str, facts: Facts | None, known: KnownTables) -> Source | None:
    """A Parquet file that is what it was when it was read before."""
    try:
        mark = identity(uri) if facts is None else identity_of(facts)
    except OSError:  # which reading it will tell
        return None
    table = known.table(uri, mark)
    return Source(uri, mark, *table) if table else None


def _listed_source(uri: str, facts: Facts, spool: Spool) -> Source:
    """A Parquet file in a store, of which size and ETag are known."""
    with _readable(uri, "Parquet"):
        held = begun(uri, int(facts["size"]))
        with pq.ParquetFile(held.open()) as file:
            schema = plain_schema(file.schema_arrow)
            _ = schema.names  # raises where one is no text
            rows = file.metadata.num_rows
        return Source(uri, identity_of(facts), rows, schema, ahead=kept(held, spool))


def arrow_source(uri: str) -> Source:
    """An Arrow stream file by the headers of its messages alone."""
    with _readable(uri, "Arrow stream"), ArrowStream(uri) as file:
        _ = file.schema.names
        return Source(uri, identity(uri), file.num_rows, plain_schema(file.schema))
