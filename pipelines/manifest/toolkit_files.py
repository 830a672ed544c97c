"""The sources that one file of another toolkit is, where its rows name other files by its rules."""

from __future__ import annotations

import posixpath

from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import Limits, looked_for, open_uri
from pipelines.errors import UsageError
from pipelines.manifest import files
from pipelines.manifest.files import full_uri, open_text, refused_source, small_source, tar_sources
from pipelines.manifest.formats.text_formats import Parse, parse_jsonl
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.toolkits import path_lists
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

_LIMITS = Limits(1 << 62)  # a tar is looked at, not read
_LISTS: dict[str, tuple[Parse, str]] = {
    "objects": (parse_jsonl, "holds JSON objects: each is a row"),
    "spoken": (path_lists.parse_spoken, "is read as GPT-SoVITS's path|speaker|language|text"),
    "paths": (path_lists.parse_paths, "is read as a list of audio files, a path a line"),
}


def file_sources(uri: str, path: str, scan: Scan) -> list[Source]:
    """The sources that one file is; see `pipelines.manifest.files.file_sources`."""
    full = full_uri(uri, path)
    if scan.format == "paths":
        return [small_source(full, path_lists.parse_paths, scan)]
    if path.lower().endswith(path_lists.SUFFIXES):
        return _listed(full, scan)
    return files.file_sources(uri, path, scan)


def _listed(uri: str, scan: Scan) -> list[Source]:
    """A list of files by what its first line is."""
    try:
        kind = path_lists.list_kind(open_text(uri, scan))
    except BadRow as error:
        raise UsageError(error.message) from error
    if kind is None:
        raise UsageError(
            f"{uri}: its first line is no JSON object, no path of audio or of a tar, and not "
            "path|speaker|language|text; --format paths takes its lines as paths of audio all the "
            "same, and as .csv with --set manifest.delimiter any table can be read"
        )
    if kind == "tars":
        return _listed_tars(uri, scan)
    parse, how = _LISTS[kind]
    scan.noticed.understood(uri, how)
    return [small_source(uri, parse, scan)]


def _listed_tars(uri: str, scan: Scan) -> list[Source]:
    """The tars that a list names, as WeNet's does; those that cannot be read are rows that fail."""
    base = scan.base or posixpath.dirname(uri)
    policy = AddressPolicy(base, scan.allow)
    tars, faults = [], {}
    for name in path_lists.listed_names(open_text(uri, scan)):
        tar = resolve(name, base)
        try:
            if not tar.lower().endswith(".tar"):
                faults[name] = f"{quoted(name, 80)} is no .tar, as the first line's is"
                continue
            with looked_for(name, policy), open_uri(tar, _LIMITS, policy, blocks_from=0):
                tars.append(tar)
        except BadRow as error:
            faults[name] = error.message
    scan.noticed.understood(uri, f"lists tars, whose samples are the rows ({len(tars)} are there)")
    return tar_sources(tars, scan) + ([refused_source(uri, faults)] if faults else [])
