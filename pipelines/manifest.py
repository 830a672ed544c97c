"""Manifests of every kind, seen as tables: files of rows, texts, tars, other toolkits' folders.

Parquet and Arrow files stay where they are and are read unit by unit, as are the sounds inside
tars; the small text formats are read here, once.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.arrow_stream import ArrowStream
from actors.fetch import fetch, require_regular
from actors.storage import retrying, split_uri
from actors.unit import open_parquet
from pipelines.errors import UsageError
from pipelines.readers import kaldi, webdataset
from pipelines.rows import PARSERS, parse_jsonl, table_of_files, unzipped
from uniaudio2.errors import BadRow

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
_MAX_TEXT_BYTES = 4 << 30
_LINES = tuple(suffix + zipped for suffix in (".jsonl", ".ndjson") for zipped in ("", ".gz"))
_REASON_SUFFIX, _SEMANTIC_SUFFIX = "_reason.pt", "_semantic.pt"


@dataclass(frozen=True)
class Source:
    """One piece of a manifest.

    Attributes:
        uri: where it is.
        identity: size and modification mark, so that a changed file is noticed.
        rows: its row count.
        schema: its columns.
        table: the rows themselves, for formats that are read whole; None for Parquet and Arrow.
        pinned: rows point inside the file, so a changed file changes what they mean.
    """

    uri: str
    identity: str
    rows: int
    schema: pa.Schema
    table: pa.Table | None = None
    pinned: bool = False

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


@contextmanager
def _readable(uri: str, kind: str) -> Iterator[None]:
    """Say of a damaged file what is wrong with it; lengths and names in it may be anything."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as fault:
        said = str(fault) or "a length in it is beyond all memory"
        raise UsageError(f"{uri}: {said}; a readable {kind} file is needed") from fault


def parquet_source(uri: str) -> Source:
    """A Parquet file by its footer alone."""
    with _readable(uri, "Parquet"), open_parquet(uri) as file:
        schema = file.schema_arrow
        _ = schema.names  # raises where one is no text
        return Source(uri, _identity(uri), file.metadata.num_rows, schema)


def _arrow_source(uri: str) -> Source:
    """An Arrow stream file by the headers of its messages alone."""
    with _readable(uri, "Arrow stream"), ArrowStream(uri) as file:
        _ = file.schema.names
        return Source(uri, _identity(uri), file.num_rows, file.schema)


def _saved_dataset(uri: str) -> list[Source]:
    """A folder that `datasets` saved: its shards in order, or those of all splits."""
    facts = _read_json(uri, "dataset_dict.json")
    if facts is not None:
        return [source for split in facts["splits"] for source in _saved_dataset(f"{uri}/{split}")]
    facts = _read_json(uri, "state.json") or {}
    return [_arrow_source(f"{uri}/{file['filename']}") for file in facts["_data_files"]]


def _read_json(folder: str, name: str) -> dict[str, Any] | None:
    try:
        facts: Any = json.loads(fetch(f"{folder}/{name}", _MAX_TEXT_BYTES))
    except BadRow as error:
        if error.kind == "missing_file":
            return None
        raise
    return facts if isinstance(facts, dict) else {}


def _tar_sources(uris: list[str]) -> list[Source]:
    """WebDataset tars; where their keys repeat, the tars' names become part of the ids."""
    sources = []
    for uri in uris:
        fs, path = split_uri(uri)
        if isinstance(fs, LocalFileSystem):
            require_regular(path)
        with fs.open(path, "rb", cache_type="readahead") as file:
            table = webdataset.read_tar(file, uri, AUDIO_SUFFIXES)
        sources.append(Source(uri, _identity(uri), table.num_rows, table.schema, table, True))
    keys = Counter(key for source in sources for key in _keys(source))
    if not keys or keys.most_common(1)[0][1] == 1:
        return sources
    return [_with_shard_names(source) for source in sources]


def _keys(source: Source) -> list[str]:
    """Ids of a tar's rows; one that is damaged from the start has a row, but no ids."""
    table = source.table
    return table["id"].to_pylist() if table and "id" in table.column_names else []


def _with_shard_names(source: Source) -> Source:
    keys = _keys(source)
    if source.table is None or not keys:
        return source
    shard = posixpath.splitext(posixpath.basename(source.uri))[0]
    names = pa.array([f"{shard}/{key}" for key in keys], pa.string())
    table = source.table.set_column(source.table.column_names.index("id"), "id", names)
    return replace(source, table=table, schema=table.schema)


def _kaldi_source(uri: str) -> Source:
    def read(name: str) -> bytes | None:
        try:
            return fetch(f"{uri}/{name}", _MAX_TEXT_BYTES)
        except BadRow as error:
            if error.kind == "missing_file":
                return None
            raise

    table = kaldi.read_kaldi(read)
    return Source(uri + "/", str(table.num_rows), table.num_rows, table.schema, table)


def _other_toolkit(uri: str, names: set[str]) -> list[Source] | None:
    """The sources of a folder that `datasets` or Kaldi lays out; None for any other folder."""
    try:
        if "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= names:
            return _saved_dataset(uri)
        return [_kaldi_source(uri)] if kaldi.MARK in names else None
    except BadRow as error:
        raise UsageError(error.message) from error
    except (KeyError, TypeError, ValueError) as fault:
        raise UsageError(f"{uri}: not a folder of `datasets` or Kaldi: {fault!r}") from fault


def _small_source(uri: str, parse: Callable[[bytes], pa.Table]) -> Source:
    try:
        data = fetch(uri, _MAX_TEXT_BYTES)
        table = parse(unzipped(data, _MAX_TEXT_BYTES) if uri.endswith(".gz") else data)
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


def _pattern_sources(uri: str, names: list[str]) -> list[Source]:
    """What a glob matches."""
    if all(name.endswith(".tar") for name in names):
        return _tar_sources([_full_uri(uri, name) for name in names])
    _, path = split_uri(uri)
    root = posixpath.dirname(re.split(r"[*?[]", path, maxsplit=1)[0]).rstrip("/")
    if root and all(name.lower().endswith(AUDIO_SUFFIXES) for name in names):
        # as in a folder: paths from where the pattern begins are ids, for file names may repeat
        table = table_of_files([name[len(root) + 1 :] for name in names])
        folder = _full_uri(uri, root) + "/"
        return [Source(folder, str(len(names)), table.num_rows, table.schema, table)]
    return [source for name in names for source in find_sources(_full_uri(uri, name))]


def _is_hidden(name: str) -> bool:
    """Tell whether a file of a folder is none of the user's: caches, what macOS puts beside it."""
    return any(part.startswith(".") for part in name.split("/"))


def _folder_sources(uri: str) -> Iterator[Source]:
    fs, path = split_uri(uri)
    inside = len(path.rstrip("/")) + 1
    found = sorted(str(name) for name in fs.find(path))
    found = [name for name in found if not _is_hidden(name[inside:])]
    others = _other_toolkit(uri.rstrip("/"), {name[inside:] for name in found})
    if others is not None:
        yield from others
        return
    parquet = [name for name in found if name.endswith(".parquet")]
    if parquet:
        yield from (parquet_source(_full_uri(uri, name)) for name in parquet)
        return
    lines = [name for name in found if name.endswith(_LINES)]
    if lines:
        yield from (_small_source(_full_uri(uri, name), parse_jsonl) for name in lines)
        return
    tars = [name for name in found if name.endswith(".tar")]
    if tars:
        yield from _tar_sources([_full_uri(uri, name) for name in tars])
        return
    table = _folder_table([name[inside:] for name in found])
    if table is None:
        kinds = ", ".join(AUDIO_SUFFIXES)
        raise UsageError(
            f"{uri}: no .parquet, .jsonl, .tar, code pairs or audio files ({kinds}) among its "
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
        return _pattern_sources(uri, names)
    if fs.isdir(path):
        return list(_folder_sources(_full_uri(uri, path)))
    if not fs.exists(path):
        raise UsageError(f"{uri}: no such file or folder; check the path and the endpoint")
    suffix = posixpath.splitext(path)[1].lower()
    if suffix == ".gz":
        suffix = posixpath.splitext(path.removesuffix(".gz"))[1].lower()
        if suffix not in PARSERS:
            raise UsageError(
                f"{uri}: a zipped {suffix or 'file'} cannot be read from its middle; unzip it first"
            )
    full = _full_uri(uri, path)
    if suffix == ".parquet":
        return [parquet_source(full)]
    if posixpath.basename(path) == kaldi.MARK:
        return [_kaldi_source(posixpath.dirname(full))]
    if suffix == ".arrow":
        return [_arrow_source(full)]
    if suffix == ".tar":
        return _tar_sources([full])
    if suffix in PARSERS:
        return [_small_source(full, PARSERS[suffix])]
    if suffix in AUDIO_SUFFIXES:
        table = pa.table({"id": [posixpath.basename(path)], "audio": [posixpath.basename(path)]})
        return [Source(full, _identity(full), 1, table.schema, table)]
    known = ", ".join([".parquet", ".arrow", ".tar", *PARSERS, *AUDIO_SUFFIXES])
    raise UsageError(f"{uri}: kind {suffix!r} is not known; one of {known}, or a folder")
