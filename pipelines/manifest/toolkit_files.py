"""The sources that one file of another toolkit is, where its rows name other files by its rules."""

from __future__ import annotations

import posixpath
from dataclasses import replace

import pyarrow as pa

from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import Limits, looked_for, open_uri
from pipelines.errors import UsageError
from pipelines.manifest import files
from pipelines.manifest.files import (
    beside,
    full_uri,
    members_of,
    open_text,
    refused_source,
    small_source,
    tar_sources,
)
from pipelines.manifest.formats.text_formats import PARSERS, Parse, objects_of, parse_jsonl
from pipelines.manifest.listing import Listing
from pipelines.manifest.shards import alike
from pipelines.manifest.sources import Source, identity
from pipelines.manifest.tables.noticed import suffix_of
from pipelines.manifest.tables.packing import without_packing
from pipelines.manifest.tables.row_tables import Row
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import TextFile
from pipelines.manifest.toolkits import lhotse_sets, path_lists
from pipelines.manifest.toolkits.lhotse import is_lhotse
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
    together = _lhotse(full, scan) if is_json(path) else None
    return files.file_sources(uri, path, scan) if together is None else [together]


def is_json(name: str) -> bool:
    """Tell by its name whether a file holds JSON objects."""
    suffix = posixpath.splitext(without_packing(name.lower()))[1]
    return PARSERS.get(suffix) is parse_jsonl


def json_sources(folder: str, names: list[str], listing: Listing, scan: Scan) -> list[Source]:
    """The sources of a folder's JSON files.

    Args:
        folder: its address.
        names: of the files.
        listing: tells which may not be read.
        scan: how much of them is wanted.
    """
    names = _without_parts(folder, names, listing, scan)
    found = []
    for name in names:
        uri = f"{folder}/{name}"
        if fault := listing.fault(name, is_text=True):
            found.append(refused_source(uri, {name: fault}))
        elif not scan.suffices(0, 0):
            found.append(_lhotse(uri, scan) or small_source(uri, parse_jsonl, scan))
    return alike(found, scan)


def _without_parts(folder: str, names: list[str], listing: Listing, scan: Scan) -> list[str]:
    """Names without those of recordings whose supervisions are read, and without both where cuts
    lie beside them, which hold the same."""
    readable = [name for name in names if not listing.fault(name, is_text=True)]
    spoken = {
        name: recorded
        for name in readable
        if (recorded := lhotse_sets.recordings_name(name)) in names
        and lhotse_sets.is_supervision(_first(f"{folder}/{name}", scan))
    }
    if not spoken:
        return names
    parts = {*spoken, *filter(None, spoken.values())}
    cuts = [name for name in readable if "cuts" in posixpath.basename(name) and name not in parts]
    if any(is_lhotse(_first(f"{folder}/{name}", scan)) for name in cuts):
        why = "cuts lie beside them and are read instead; name a file of supervisions to read it"
        scan.noticed.leave_out("manifests of Lhotse", map(suffix_of, sorted(parts)), why)
        return [name for name in names if name not in parts]
    return [name for name in names if name not in {*spoken.values()}]


def _first(uri: str, scan: Scan) -> Row:
    """The first object of a JSON file; an empty one where it holds none."""
    try:
        value = next(objects_of(open_text(uri, scan)), None)
    except BadRow as error:
        raise UsageError(error.message) from error
    return value if isinstance(value, dict) else {}


def _lhotse(uri: str, scan: Scan) -> Source | None:
    """Supervisions with their recordings, or Shar's cuts with their audio; None for other files."""
    name = posixpath.basename(uri)
    if recorded := lhotse_sets.recordings_name(name):
        if not lhotse_sets.is_supervision(_first(uri, scan)):
            return None
        return _supervised(uri, recorded, scan)
    tar_name = lhotse_sets.shar_tar(name)
    tar = beside(uri, tar_name, scan) if tar_name else None
    return _shar(uri, tar, scan) if tar else None


def _supervised(uri: str, recorded: str, scan: Scan) -> Source:
    """Supervisions of Lhotse, each heard in its recording."""
    found = beside(uri, recorded, scan)
    if found is None:
        raise UsageError(
            f"{uri} holds supervisions of Lhotse, and the recordings that they name are not beside "
            f"it, in {quoted(recorded)}; put them there, or make cuts of both: `lhotse cut simple`"
        )
    try:
        recordings = lhotse_sets.Recordings(objects_of(open_text(found, scan)))
    except BadRow as error:
        raise UsageError(error.message) from error
    is_whole = scan.rows is None

    def parse(data: TextFile | bytes, scan: Scan | None) -> pa.Table:
        return parse_jsonl(data, scan, recordings.cut)

    source = small_source(uri, parse, scan)
    scan.noticed.understood(
        uri,
        f"holds supervisions of Lhotse: each is a row, heard in a recording of {quoted(recorded)}",
    )
    if is_whole:
        unused = ["recordings"] * recordings.unused()
        scan.noticed.leave_out("recordings", unused, "no supervision names them")
    return source


def _shar(uri: str, tar: str, scan: Scan) -> Source:
    """Cuts of Shar, whose audio is in a tar under their ids: what their recordings are called is
    that of the whole recording which they were cut from."""
    fill = lhotse_sets.filled(members_of(tar))

    def parse(data: TextFile | bytes, scan: Scan | None) -> pa.Table:
        return parse_jsonl(data, scan, fill)

    def read(scan: Scan) -> Source:
        source = small_source(uri, parse, scan)
        return replace(source, uri=tar, identity=identity(tar), pinned=True, again=read)

    return read(scan)


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
