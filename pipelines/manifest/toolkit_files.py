"""The sources that one file of another toolkit is, where its rows name other files by its rules."""

from __future__ import annotations

import functools
import posixpath
from dataclasses import replace

import pyarrow as pa

from actors.storage.addresses import LOCAL, AddressPolicy, is_store, resolve, scheme_of
from actors.storage.fetch import Limits, looked_for, open_uri
from pipelines.errors import UsageError
from pipelines.manifest import files
from pipelines.manifest.files import (
    beside,
    full_uri,
    open_text,
    refused_source,
    small_source,
)
from pipelines.manifest.formats.text_formats import PARSERS, Parse, objects_of, parse_jsonl
from pipelines.manifest.listing import Listing
from pipelines.manifest.shards import alike
from pipelines.manifest.sources import Source, identity, ids_apart
from pipelines.manifest.tables.noticed import suffix_of
from pipelines.manifest.tables.packing import without_packing
from pipelines.manifest.tables.row_tables import Row
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import TextFile
from pipelines.manifest.tar_sources import members_of, tar_sources, tars_beside
from pipelines.manifest.toolkits import lhotse_sets, path_lists
from pipelines.manifest.toolkits.lhotse import is_lhotse
from pipelines.manifest.toolkits.nemo_tarred import (
    Shards,
    by_shard,
    member_of,
    names_shard,
    numbered,
)
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

_EXAMPLES = 3
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
    if is_json(path):
        together = _lhotse(full, scan)
        found = [together] if together else _tarred(full, scan)
        if found:
            return found
    return files.file_sources(uri, path, scan)


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


def tarred_sources(folder: str, listing: Listing, scan: Scan) -> list[Source] | None:
    """The sources of a folder that NeMo's tarred manifests lie in; None for any other folder."""
    tars = [name for name in listing.names if name.endswith(".tar")]
    places = {posixpath.dirname(name) for name in tars}
    jsons = [name for name in listing.names if places and is_json(name)]
    right = [name for name in jsons if posixpath.dirname(name) in places]
    below = [name for name in jsons if posixpath.dirname(posixpath.dirname(name)) in places]
    for names in (right, [name for name in below if name not in right]):
        found = {name: got for name in names if (got := _tarred(f"{folder}/{name}", scan))}
        if found:
            break
    else:
        return None
    some = ", ".join(quoted(name, 80) for name in list(found)[:_EXAMPLES])
    how = f"holds {len(found)} tarred manifests of NeMo ({some}), which are read"
    scan.noticed.understood(folder, how)
    others = listing.left_out([*found, *tars])
    scan.noticed.leave_out("files", others, "the manifests beside the tars name no others")
    sources = [source for got in found.values() for source in got]
    return ids_apart(sources, [_stem(source.uri) for source in sources])


def _stem(uri: str) -> str:
    return posixpath.splitext(posixpath.basename(uri))[0]


def _tarred(uri: str, scan: Scan) -> list[Source]:
    """The tars of a tarred manifest of NeMo, a source each, and the entries that fail; none for any
    other file."""
    first = _first(uri, scan)
    shard = names_shard(first, uri)
    if shard is None:
        return []
    tars = by_shard(tars_beside(uri))
    look = functools.cache(functools.partial(members_of, scan=scan))
    is_told = "shard_id" in first and bool(tars)
    if not is_told and (
        shard not in tars or not member_of(first["audio_filepath"], look(tars[shard]))
    ):
        return []
    shards = Shards(uri, tars, look)

    def parse(data: TextFile | bytes, scan: Scan | None) -> pa.Table:
        return parse_jsonl(data, scan, shards.row)

    def read(scan: Scan) -> list[Source]:
        return _by_tar(small_source(uri, parse, scan), {*tars.values()})

    is_whole = scan.rows is None
    found = read(scan)
    if is_whole:
        scan.noticed.leave_out(
            "tar members", shards.unused(), "no entry of the manifest names them"
        )
    if sum(source.pinned for source in found) == 1:  # else rows are not those of the first tar
        found[0] = replace(found[0], again=lambda scan: read(scan)[0])
    return ids_apart(found, [_stem(source.uri) for source in found])


def _by_tar(source: Source, tars: set[str]) -> list[Source]:
    """The rows of a table by the tars that they are heard in, in order, and those that fail."""
    table = source.table
    if table is None or "audio" not in table.column_names:
        return [source]
    places: dict[str, list[int]] = {}
    for place, address in enumerate(table["audio"].to_pylist()):
        tar = address.rpartition("#bytes=")[0] if isinstance(address, str) else ""
        # a row may say anything, and is believed of no other file
        places.setdefault(tar if tar in tars else "", []).append(place)
    sources = []
    for tar, rows in sorted(places.items(), key=lambda item: (not item[0], item[1][0])):
        part = numbered(table.take(rows))
        if tar:
            own = Source(tar, identity(tar), len(rows), part.schema, part, pinned=True)
        else:
            own = replace(source, rows=len(rows), table=part, again=None)
        sources.append(own)
    return sources


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
    fill = lhotse_sets.filled(members_of(tar, scan))

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
            if scheme_of(tar) not in LOCAL and not is_store(tar):
                faults[name] = f"{quoted(tar)}: tars are read from disks and stores; fetch it first"
                continue
            with looked_for(name, policy), open_uri(tar, _LIMITS, policy, blocks_from=0):
                tars.append(tar)
        except BadRow as error:
            faults[name] = error.message
    scan.noticed.understood(uri, f"lists tars, whose samples are the rows ({len(tars)} are there)")
    return tar_sources(tars, scan) + ([refused_source(uri, faults)] if faults else [])
