"""Sources of a manifest: its files and tables, and how Parquet and Arrow files become one."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from actors.columnar.arrow_stream import ArrowStream
from actors.columnar.file_rows import open_parquet
from actors.columnar.views import plain_schema
from actors.storage.file_systems import retrying, split_uri
from pipelines.errors import UsageError


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
    """

    uri: str
    identity: str
    rows: int
    schema: pa.Schema
    table: pa.Table | None = None
    pinned: bool = False
    constants: str = ""
    names: str = ""

    @property
    def base(self) -> str:
        """The folder that relative audio paths start in."""
        return posixpath.dirname(self.uri)


def identity(uri: str) -> str:
    fs, path = split_uri(uri)
    facts = retrying(lambda: fs.info(path), f"looking at {uri}")
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
        raise UsageError(f"{uri}: {fault_of(fault)}; a readable {kind} file is needed") from fault


def parquet_source(uri: str) -> Source:
    """A Parquet file by its footer alone."""
    with _readable(uri, "Parquet"), open_parquet(uri) as file:
        schema = plain_schema(file.schema_arrow)
        _ = schema.names  # raises where one is no text
        return Source(uri, identity(uri), file.metadata.num_rows, schema)


def arrow_source(uri: str) -> Source:
    """An Arrow stream file by the headers of its messages alone."""
    with _readable(uri, "Arrow stream"), ArrowStream(uri) as file:
        _ = file.schema.names
        return Source(uri, identity(uri), file.num_rows, plain_schema(file.schema))
