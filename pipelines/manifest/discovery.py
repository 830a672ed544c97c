"""Manifests of every kind, seen as tables: what the INPUT of a run names."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from actors.storage.block_reader import TimedCalls
from actors.storage.fetch import why_absent
from actors.storage.file_systems import split_uri
from pipelines.errors import UsageError
from pipelines.manifest.corpus_sources import corpus_of_file
from pipelines.manifest.files import full_uri, refused_source
from pipelines.manifest.folder import audio_files, folder_sources
from pipelines.manifest.formats.kinds import READ_ARCHIVES, is_manifest, is_text
from pipelines.manifest.formats.text_formats import table_of_files
from pipelines.manifest.listing import Listing, check_files, listed_facts, tells_all
from pipelines.manifest.partitions import partitioned
from pipelines.manifest.shards import alike
from pipelines.manifest.sources import (
    Facts,
    Source,
    check_base,
    files_source,
    ids_apart,
    parquet_sources,
    with_base,
)
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tar_sources import tar_sources
from pipelines.manifest.toolkit_files import file_sources
from pipelines.manifest.toolkits.nemo_tarred import expanded
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted, shown

_LOOK_S = 60.0
_FOLDERS = "a pattern takes files; '**' reaches into folders"


def find_sources(uri: str, scan: Scan | None = None) -> list[Source]:
    """Everything that an INPUT names, in a fixed order.

    Args:
        uri: a file, a folder or a glob, local or on any fsspec file system.
        scan: how much of it is wanted; it is told what was noticed.

    Raises:
        UsageError: nothing is there, or its kind is not known.
    """
    scan = scan or Scan()
    check_base(uri, scan)
    return [with_base(source, scan) for source in _sources(uri, scan)]


def _sources(uri: str, scan: Scan) -> list[Source]:
    fs, path = split_uri(uri)
    is_pattern = any(wildcard in path for wildcard in "*?[")
    if is_pattern and not fs.exists(path):  # a name may hold wildcards itself
        found = fs.glob(path, detail=True)
        names = sorted(name for name, facts in found.items() if facts["type"] != "directory")
        scan.noticed.leave_out("folders", ["matched"] * (len(found) - len(names)), _FOLDERS)
        if not names:
            raise UsageError(f"{uri}: the pattern matches no file; check the path")
        root = posixpath.dirname(re.split(r"[*?[]", path, maxsplit=1)[0]).rstrip("/")
        facts = {full_uri(uri, name): listed_facts(found[name]) for name in names}
        told = {name: known for name, known in facts.items() if known and tells_all(fs)}
        return _pattern_sources(uri, root, names, scan, told)
    if (names := expanded(path)) and not fs.exists(path):
        absent = [name for name in names if not fs.exists(name)]
        if absent:
            raise UsageError(
                f"{uri}: {len(absent)} of the {len(names)} files that it names are not there, such "
                f"as {quoted(absent[0])}; fetch them, or name fewer"
            )
        root = posixpath.commonpath([posixpath.dirname(name) for name in names])
        return _pattern_sources(uri, root, names, scan)
    is_folder = _looks_like_folder(fs, path)
    if scan.format and is_folder:
        raise UsageError(
            f"{uri} is a folder, and --format {scan.format} is about the lines of a file; name the "
            "file, or leave the format out"
        )
    if is_folder:
        return folder_sources(full_uri(uri, path).rstrip("/"), scan)
    if not fs.exists(path) and _is_folder(fs, path, uri):
        return folder_sources(full_uri(uri, path).rstrip("/"), scan)
    if isinstance(fs, LocalFileSystem):
        _check_named(uri, path, scan)
    corpus = corpus_of_file(full_uri(uri, path), scan)
    if corpus is not None:
        return corpus
    sources = file_sources(uri, path, scan)
    if path.endswith(".parquet"):
        return partitioned(sources, posixpath.dirname(full_uri(uri, path)), scan)
    return sources


def _looks_like_folder(fs: AbstractFileSystem, path: str) -> bool:
    """As `isdir`, which asks an S3 store for a list of all that is in the folder."""
    if isinstance(fs, LocalFileSystem) or not tells_all(fs):
        return bool(fs.isdir(path))
    try:
        return bool(fs.info(path)["type"] == "directory")
    except (OSError, ValueError):  # what is wrong is told when it is read
        return False


def _is_folder(fs: AbstractFileSystem, path: str, uri: str) -> bool:
    """Look again at what seems not to be there: for file systems, any failure is absence.

    Raises:
        UsageError: nothing is there, or its storage does not answer.
    """
    try:
        facts = TimedCalls(fs, _LOOK_S)("info", path, f"looking at {shown(uri)}")
    except FileNotFoundError as fault:
        if os.path.islink(path) and isinstance(fs, LocalFileSystem):
            raise UsageError(f"{uri}: {why_absent(path, 'a link')}") from fault
        message = f"{uri}: no such file or folder; check the path and the endpoint"
        raise UsageError(message) from fault
    except BadRow as error:
        message = f"{uri}: its hub limits how often it is asked, or fails; start again later"
        raise UsageError(message) from error
    except (OSError, ValueError) as fault:
        raise UsageError(f"{uri}: {fault}; check the path and the endpoint") from fault
    return bool(facts["type"] == "directory")


def _pattern_sources(
    uri: str, root: str, names: list[str], scan: Scan, facts: Mapping[str, Facts] | None = None
) -> list[Source]:
    """The sources of the files that a glob matches.

    Args:
        uri: the glob.
        root: the folder that it begins in.
        names: paths of files on its file system.
        scan: how much of it is wanted.
        facts: what a store's listing tells of files, by their addresses.
    """
    fs, _ = split_uri(uri)
    inner = {name: name[len(root) + 1 :] for name in names}
    is_local = isinstance(fs, LocalFileSystem)
    listing = check_files(root, list(inner.values()), scan) if is_local else Listing([])
    if root and not scan.format and not any(map(is_manifest, names)):
        return [_audio_table(uri, root, list(inner.values()), listing, scan)]
    told = {name: listing.fault(inner[name], is_text(name)) for name in names}
    kept = [name for name in names if not told[name]]
    faults = {inner[name]: fault for name in names if (fault := told[name])}
    refused = [refused_source(full_uri(uri, root), faults)] if faults else []
    if all(name.lower().endswith(READ_ARCHIVES) for name in names):
        return tar_sources([full_uri(uri, name) for name in kept], scan, None, facts) + refused
    found: list[Source] = []
    known: dict[str, bool] = {}
    corpora = [corpus_of_file(full_uri(uri, name), scan, known) for name in kept]
    tables = [name for name in names if name.endswith(".parquet")]
    if len(tables) == len(names) and all(corpus is None for corpus in corpora):
        uris = scan.first_files([full_uri(uri, name) for name in kept])
        found = parquet_sources(uris, facts or {}, scan)
        return partitioned(found, full_uri(uri, root), scan) + refused
    for name, corpus in zip(kept, corpora, strict=True):
        found += file_sources(uri, name, scan) if corpus is None else corpus
    found = alike(found, scan)
    if all(source.pinned for source in found):  # by manifests in shards, beside their tars
        found = ids_apart(found, [posixpath.splitext(posixpath.basename(s.uri))[0] for s in found])
    return found + refused


def _audio_table(uri: str, root: str, names: list[str], listing: Listing, scan: Scan) -> Source:
    """The audio files that a glob matches, as those of a folder.

    Their paths from where the pattern begins are ids, for file names may repeat.
    """
    folder = full_uri(uri, root)
    listing.names = names
    audio = audio_files(folder, listing, scan)
    if not audio:
        raise UsageError(f"{uri}: no file that it matches is audio; {scan.noticed.left_out[-1]}")
    table = table_of_files(audio, listing.fault)
    return files_source(folder + "/", str(len(audio)), table, scan)


def _check_named(uri: str, path: str, scan: Scan) -> None:
    """Note where a local file leads that is a link, and refuse what is not followed.

    Raises:
        UsageError: links are refused, or it leads to a file of another kind of name.
    """
    folder, name = posixpath.split(path)
    if fault := check_files(folder, [name], scan).fault(name, is_text(name)):
        raise UsageError(f"{uri}: {fault}, or name the file itself")
