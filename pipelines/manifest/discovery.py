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
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.batch.schema import FAULT_COLUMN
from actors.storage.fetch import Limits, fetch, open_uri, require_regular
from actors.storage.file_systems import split_uri
from pipelines.errors import UsageError
from pipelines.manifest.formats import kaldi, saved_datasets, webdataset
from pipelines.manifest.formats.text_formats import PARSERS, Parse, parse_jsonl, table_of_files
from pipelines.manifest.links import Listing, check_files, is_hidden, list_folder
from pipelines.manifest.sources import Source, arrow_source, identity, parquet_source
from pipelines.manifest.tables.asked import Asked
from pipelines.manifest.tables.row_tables import Row, table_of_dicts
from pipelines.manifest.tables.text_lines import TextFile
from uniaudio2.errors import BadRow

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
_MAX_TEXT_BYTES = 4 << 30
_LIMITS = Limits(_MAX_TEXT_BYTES)
_MAX_FACTS_BYTES = 16 << 20
_LINES = tuple(suffix + zipped for suffix in (".jsonl", ".ndjson") for zipped in ("", ".gz"))
_REASON_SUFFIX, _SEMANTIC_SUFFIX = "_reason.pt", "_semantic.pt"


def _full_uri(original: str, path: str) -> str:
    protocol, separator, _ = original.partition("://")
    return f"{protocol}://{path}" if separator and protocol != "file" else path


def _refused(uri: str, faults: dict[str, str]) -> Source:
    """Rows that fail, for files that are not read."""
    ids = [name.encode("utf-8", "backslashreplace").decode() for name in faults]
    table = pa.table({"id": ids, FAULT_COLUMN: list(faults.values())})
    return Source(uri, str(len(faults)), len(faults), table.schema.remove(0), table)


def _saved_dataset(uri: str, listing: Listing) -> Iterator[Source]:
    """A folder that `datasets` saved: its shards in order, or those of all splits."""

    def read(name: str) -> Any:
        if fault := listing.fault(name, is_text=True):
            raise UsageError(f"{uri}: {fault}")
        return _read_json(f"{uri}/{name}")

    for name in list(saved_datasets.shards(read)):
        if fault := listing.fault(name):
            yield _refused(f"{uri}/{name}", {name: fault})
        elif not any(name.startswith(folder) for folder, _ in listing.folders()):
            yield arrow_source(f"{uri}/{name}")


def _read_json(uri: str) -> Any:
    try:
        return json.loads(fetch(uri, _MAX_FACTS_BYTES))
    except BadRow as error:
        if error.kind == "missing_file":
            return None
        raise
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"{uri} is not JSON; save the dataset again") from fault


def _tar_sources(uris: list[str], asked: Asked) -> list[Source]:
    """WebDataset tars; where their keys repeat, the tars' names become part of the ids.

    Each is looked at as if it were the only one, for ids must not depend on how many rows suffice.
    """
    sources = []
    for uri in uris:
        fs, path = split_uri(uri)
        if isinstance(fs, LocalFileSystem):
            require_regular(path)
        with fs.open(path, "rb", cache_type="readahead") as file:
            table = webdataset.read_tar(file, uri, AUDIO_SUFFIXES, Asked(asked.rows))
        sources.append(Source(uri, identity(uri), table.num_rows, table.schema, table, True))
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


def _text_file(uri: str) -> TextFile:
    return TextFile(
        lambda: open_uri(uri, _LIMITS, pieces_from=0), _MAX_TEXT_BYTES, uri, uri.endswith(".gz")
    )


def _kaldi_source(uri: str, listing: Listing, asked: Asked) -> Source:
    faults = {name: listing.fault(name, is_text=True) for name in kaldi.FILES}
    told = {name: fault for name, fault in faults.items() if fault}
    if told:
        return _refused(uri + "/", told)

    def read(name: str) -> TextFile | None:
        try:
            with open_uri(f"{uri}/{name}", _LIMITS):
                return _text_file(f"{uri}/{name}")
        except BadRow as error:
            if error.kind == "missing_file":
                return None
            raise

    try:
        table = kaldi.read_kaldi(read, asked)
    except (BadRow, ValueError) as fault:
        raise UsageError(f"{uri}: {fault}") from fault
    return Source(uri + "/", str(table.num_rows), table.num_rows, table.schema, table)


def _kaldi_of(folder: str, asked: Asked) -> Source:
    """The data folder of a ``wav.scp`` that INPUT names itself."""
    fs, path = split_uri(folder)
    is_local = isinstance(fs, LocalFileSystem)
    return _kaldi_source(
        folder, check_files(path, list(kaldi.FILES), asked) if is_local else Listing([]), asked
    )


def _other_toolkit(uri: str, listing: Listing, asked: Asked) -> list[Source] | None:
    """The sources of a folder that `datasets` or Kaldi lays out; None for any other folder."""
    names = set(listing.names)
    try:
        if saved_datasets.is_saved(names):
            return list(_saved_dataset(uri, listing))
    except BadRow as error:
        raise UsageError(error.message) from error
    return [_kaldi_source(uri, listing, asked)] if kaldi.MARK in names else None


def _small_source(uri: str, parse: Parse, asked: Asked) -> Source:
    try:
        table = parse(_text_file(uri), asked)
    except BadRow as error:
        large = "; a large manifest is better kept as Parquet" if error.kind == "too_large" else ""
        raise UsageError(f"{error.message}{large}") from error
    except ValueError as fault:
        raise UsageError(f"{uri}: {fault}") from fault
    return Source(uri, identity(uri), table.num_rows, table.schema, table)


def _small_sources(uri: str, names: list[str], listing: Listing, asked: Asked) -> Iterator[Source]:
    for name in names:
        if fault := listing.fault(name, is_text=True):
            yield _refused(f"{uri}/{name}", {name: fault})
        elif not asked.suffices(0, 0):
            yield _small_source(f"{uri}/{name}", parse_jsonl, asked)


def _folder_table(uri: str, listing: Listing) -> pa.Table | None:
    """Rows for a folder: published code pairs when there are any, else audio files."""
    present = set(listing.names)
    stems = [
        name[: -len(_SEMANTIC_SUFFIX)] for name in listing.names if name.endswith(_SEMANTIC_SUFFIX)
    ]
    rows = [_pair_row(uri, stem, present, listing) for stem in stems]
    if rows:
        return table_of_dicts(rows)
    audio = [name for name in listing.names if name.lower().endswith(AUDIO_SUFFIXES)]
    return table_of_files(audio, listing.fault) if audio else None


def _pair_row(uri: str, stem: str, present: set[str], listing: Listing) -> Row:
    names = (stem + _SEMANTIC_SUFFIX, stem + _REASON_SUFFIX)
    for name in names:
        if name in present and (fault := listing.fault(name)):
            return {"id": stem, FAULT_COLUMN: fault}
    recon, reason = (posixpath.join(uri, name) if name in present else None for name in names)
    return {"id": stem, "recon_path": recon, "reason_path": reason}


def _pattern_sources(uri: str, names: list[str], asked: Asked) -> list[Source]:
    """What a glob matches."""
    fs, path = split_uri(uri)
    root = posixpath.dirname(re.split(r"[*?[]", path, maxsplit=1)[0]).rstrip("/")
    inner = {name: name[len(root) + 1 :] for name in names}
    is_local = isinstance(fs, LocalFileSystem)
    listing = check_files(root, list(inner.values()), asked) if is_local else Listing([])
    told = {name: listing.fault(inner[name], _is_text(name)) for name in names}
    kept = [name for name in names if not told[name]]
    faults = {inner[name]: fault for name in names if (fault := told[name])}
    refused = [_refused(_full_uri(uri, root), faults)] if faults else []
    if all(name.endswith(".tar") for name in names):
        return _tar_sources([_full_uri(uri, name) for name in kept], asked) + refused
    if root and all(name.lower().endswith(AUDIO_SUFFIXES) for name in names):
        # as in a folder: paths from where the pattern begins are ids, for file names may repeat
        table = table_of_files(list(inner.values()), listing.fault)
        folder = _full_uri(uri, root) + "/"
        return [Source(folder, str(len(names)), table.num_rows, table.schema, table)]
    found = [source for name in kept for source in _file_sources(uri, name, asked)]
    return found + refused


def _is_text(name: str) -> bool:
    """Whether a file is read as text, by its name."""
    return posixpath.splitext(name.lower().removesuffix(".gz"))[1] in PARSERS


def _check_named(uri: str, path: str, asked: Asked) -> None:
    """Note where a local file leads that is a link, and refuse what is not followed.

    Raises:
        UsageError: links are refused, or it leads to a file of another kind of name.
    """
    folder, name = posixpath.split(path)
    if fault := check_files(folder, [name], asked).fault(name, _is_text(name)):
        raise UsageError(f"{uri}: {fault}, or name the file itself")


def _list(uri: str, asked: Asked) -> Listing:
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        return list_folder(path, asked)
    inside = len(path.rstrip("/")) + 1
    names = sorted(str(name)[inside:] for name in fs.find(path))
    return Listing([name for name in names if not is_hidden(name)])


def _folder_sources(uri: str, asked: Asked) -> Iterator[Source]:
    folder = uri.rstrip("/")
    listing = _list(uri, asked)
    refused = dict(listing.folders())
    if refused:
        yield _refused(folder + "/", refused)
    others = _other_toolkit(folder, listing, asked)
    if others is not None:
        yield from others
        return
    tars = partial(_tar_sources, asked=asked)
    kinds: tuple[tuple[tuple[str, ...], Callable[[list[str]], Iterator[Source]]], ...] = (
        ((".parquet",), lambda names: _files_of(folder, names, listing, _parquet_sources)),
        (_LINES, lambda names: _small_sources(folder, names, listing, asked)),
        (
            (".tar",),
            lambda names: _files_of(folder, names, listing, tars),
        ),
    )
    for suffixes, sources in kinds:
        names = [name for name in listing.names if name.endswith(suffixes)]
        if names:
            yield from sources(names)
            return
    table = _folder_table(uri, listing)
    if table is None and not refused:
        kinds_known = ", ".join(AUDIO_SUFFIXES)
        raise UsageError(
            f"{uri}: no .parquet, .jsonl, .tar, code pairs or audio files ({kinds_known}) among "
            f"its {len(listing.names)} files; name a manifest or a folder with some"
        )
    if table is not None:
        count = str(len(listing.names))
        yield Source(folder + "/", count, table.num_rows, table.schema, table)


def _files_of(
    folder: str, names: list[str], listing: Listing, read: Callable[[list[str]], list[Source]]
) -> Iterator[Source]:
    """The sources of files, and rows that fail for those that are not read."""
    faults = {name: fault for name in names if (fault := listing.fault(name))}
    yield from read([f"{folder}/{name}" for name in names if name not in faults])
    if faults:
        yield _refused(folder + "/", faults)


def _parquet_sources(uris: list[str]) -> list[Source]:
    return [parquet_source(uri) for uri in uris]


def find_sources(uri: str, asked: Asked | None = None) -> list[Source]:
    """Everything that an INPUT names, in a fixed order.

    Args:
        uri: a file, a folder or a glob, local or on any fsspec file system.
        asked: how much of it is wanted; it is told what was noticed.

    Raises:
        UsageError: nothing is there, or its kind is not known.
    """
    asked = asked or Asked()
    fs, path = split_uri(uri)
    is_pattern = any(sign in path for sign in "*?[")
    if is_pattern and not fs.exists(path):  # a name may hold such signs itself
        names = sorted(str(name) for name in fs.glob(path))
        if not names:
            raise UsageError(f"{uri}: the pattern matches no file; check the path")
        return _pattern_sources(uri, names, asked)
    if fs.isdir(path):
        return list(_folder_sources(_full_uri(uri, path), asked))
    if not fs.exists(path):
        raise UsageError(f"{uri}: no such file or folder; check the path and the endpoint")
    if isinstance(fs, LocalFileSystem):
        _check_named(uri, path, asked)
    return _file_sources(uri, path, asked)


def _file_sources(uri: str, path: str, asked: Asked) -> list[Source]:
    """The sources that one file is.

    Args:
        uri: what was asked for; it tells the protocol.
        path: of the file, on its file system.
        asked: how much of it is wanted.
    """
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
        return [_kaldi_of(posixpath.dirname(full), asked)]
    if suffix == ".arrow":
        return [arrow_source(full)]
    if suffix == ".tar":
        return _tar_sources([full], asked)
    if suffix in PARSERS:
        return [_small_source(full, PARSERS[suffix], asked)]
    if suffix in AUDIO_SUFFIXES:
        table = pa.table({"id": [posixpath.basename(path)], "audio": [posixpath.basename(path)]})
        return [Source(full, identity(full), 1, table.schema, table)]
    known = ", ".join([".parquet", ".arrow", ".tar", *PARSERS, *AUDIO_SUFFIXES])
    raise UsageError(f"{uri}: kind {suffix!r} is not known; one of {known}, or a folder")
