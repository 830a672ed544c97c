"""Manifests of every kind, seen as tables: Parquet, JSONL, CSV/TSV, text, folders.

Parquet stays where it is and is read unit by unit; the small text formats are read here, once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from actors.fetch import fetch
from actors.storage import retrying, split_uri
from actors.unit import open_parquet
from pipelines.errors import UsageError
from pipelines.rows import PARSERS, parse_jsonl, table_of_files
from uniaudio2.errors import BadRow

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
_MAX_TEXT_BYTES = 4 << 30
_REASON_SUFFIX, _SEMANTIC_SUFFIX = "_reason.pt", "_semantic.pt"


@dataclass(frozen=True)
class Source:
    """One piece of a manifest.

    Attributes:
        uri: where it is.
        identity: size and modification mark, so that a changed file is noticed.
        rows: its row count.
        schema: its columns.
        table: the rows themselves, for formats that are read whole; None for Parquet.
    """

    uri: str
    identity: str
    rows: int
    schema: pa.Schema
    table: pa.Table | None = None

    @property
    def base(self) -> str:
        """What relative audio paths are relative to."""
        return posixpath.dirname(self.uri)


def _identity(uri: str) -> str:
    fs, path = split_uri(uri)
    facts = retrying(lambda: fs.info(path), f"looking at {uri}")
    mark = facts.get("ETag") or facts.get("mtime") or facts.get("LastModified") or ""
    return f"{facts.get('size')}:{mark}"


def _full_uri(original: str, path: str) -> str:
    protocol, separator, _ = original.partition("://")
    return f"{protocol}://{path}" if separator and protocol != "file" else path


def parquet_source(uri: str) -> Source:
    """A Parquet file by its footer alone."""
    try:
        with open_parquet(uri) as file:
            return Source(uri, _identity(uri), file.metadata.num_rows, file.schema_arrow)
    except (pa.ArrowInvalid, OSError) as fault:
        if isinstance(fault, FileNotFoundError):
            raise
        raise UsageError(f"{uri}: {fault}; a readable Parquet file is needed") from fault


def _small_source(uri: str, parse: Callable[[bytes], pa.Table]) -> Source:
    try:
        table = parse(fetch(uri, _MAX_TEXT_BYTES))
    except BadRow as error:
        raise UsageError(f"{error.message}; a large manifest is better kept as Parquet") from error
    except ValueError as fault:
        raise UsageError(f"{uri}: {fault}") from fault
    return Source(uri, _identity(uri), table.num_rows, table.schema, table)


def _folder_table(names: list[str]) -> pa.Table | None:
    """Rows for a folder: published code pairs when there are any, else audio files."""
    present = set(names)
    pairs = [
        (name[: -len(_SEMANTIC_SUFFIX)], name) for name in names if name.endswith(_SEMANTIC_SUFFIX)
    ]
    if pairs:
        reasons = [stem + _REASON_SUFFIX for stem, _ in pairs]
        return pa.table(
            {
                "id": pa.array([stem for stem, _ in pairs]),
                "recon_path": pa.array([name for _, name in pairs]),
                "reason_path": pa.array(
                    [name if name in present else None for name in reasons], pa.string()
                ),
            }
        )
    audio = [name for name in names if name.lower().endswith(AUDIO_SUFFIXES)]
    if not audio:
        return None
    return table_of_files(audio)


def _folder_sources(uri: str) -> Iterator[Source]:
    fs, path = split_uri(uri)
    found = sorted(str(name) for name in fs.find(path))
    parquet = [name for name in found if name.endswith(".parquet")]
    if parquet:
        yield from (parquet_source(_full_uri(uri, name)) for name in parquet)
        return
    lines = [name for name in found if name.endswith((".jsonl", ".ndjson"))]
    if lines:
        yield from (_small_source(_full_uri(uri, name), parse_jsonl) for name in lines)
        return
    table = _folder_table([name[len(path.rstrip("/")) + 1 :] for name in found])
    if table is None:
        kinds = ", ".join(AUDIO_SUFFIXES)
        raise UsageError(
            f"{uri}: no .parquet, .jsonl, code pairs or audio files ({kinds}) among its "
            f"{len(found)} files; name a manifest or a folder with some"
        )
    for name in ("recon_path", "reason_path"):
        if name in table.column_names:
            full = [value and posixpath.join(uri, value) for value in table[name].to_pylist()]
            table = table.set_column(
                table.column_names.index(name), name, pa.array(full, pa.string())
            )
    folder = uri.rstrip("/") + "/"
    yield Source(folder, str(len(found)), table.num_rows, table.schema, table)


def find_sources(uri: str) -> list[Source]:
    """Everything that an INPUT names, in a fixed order.

    Args:
        uri: a file, a folder or a glob, local or on any fsspec file system.

    Raises:
        UsageError: nothing is there, or its kind is not known.
    """
    fs, path = split_uri(uri)
    is_pattern = any(sign in path for sign in "*?[")
    if is_pattern and not fs.exists(path):  # a name may hold such signs itself
        names = sorted(str(name) for name in fs.glob(path))
        if not names:
            raise UsageError(f"{uri}: the pattern matches no file; check the path")
        return [source for name in names for source in find_sources(_full_uri(uri, name))]
    if fs.isdir(path):
        return list(_folder_sources(_full_uri(uri, path)))
    if not fs.exists(path):
        raise UsageError(f"{uri}: no such file or folder; check the path and the endpoint")
    suffix = posixpath.splitext(path)[1].lower()
    full = _full_uri(uri, path)
    if suffix == ".parquet":
        return [parquet_source(full)]
    if suffix in PARSERS:
        return [_small_source(full, PARSERS[suffix])]
    if suffix in AUDIO_SUFFIXES:
        table = pa.table({"id": [posixpath.basename(path)], "audio": [posixpath.basename(path)]})
        return [Source(full, _identity(full), 1, table.schema, table)]
    known = ", ".join([".parquet", *PARSERS, *AUDIO_SUFFIXES])
    raise UsageError(f"{uri}: kind {suffix!r} is not known; one of {known}, or a folder")
