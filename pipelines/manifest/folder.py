"""The sources that a folder of an INPUT is, and which of its files are left out.

A folder is read by its manifests where it has some, else its audio files are the rows.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.batch.names import FAULT_COLUMN
from actors.storage.fetch import fetch, read_head
from actors.storage.file_systems import split_uri
from pipelines.errors import UsageError
from pipelines.manifest.corpus_sources import corpus_sources
from pipelines.manifest.files import kaldi_source, refused_source
from pipelines.manifest.formats.kinds import READ_ARCHIVES
from pipelines.manifest.formats.text_formats import table_of_files
from pipelines.manifest.listing import Listing, list_folder, list_remote
from pipelines.manifest.partitions import is_leftover, partitioned, refuse_logged_tables
from pipelines.manifest.sources import (
    Source,
    arrow_source,
    files_source,
    ids_apart,
    parquet_sources,
)
from pipelines.manifest.tables.audio_names import audio_by_content, is_audio_name
from pipelines.manifest.tables.noticed import HIDDEN, suffix_of
from pipelines.manifest.tables.packing import PACKINGS
from pipelines.manifest.tables.row_tables import Row, table_of_dicts
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tar_sources import index_names, tar_sources
from pipelines.manifest.tars.archives import archive_of, unpack_first
from pipelines.manifest.toolkit_files import json_sources, tarred_sources
from pipelines.manifest.toolkits import kaldi, saved_datasets
from pipelines.manifest.toolkits.lhotse_sets import shar_tar
from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

_MAX_FACTS_BYTES = 16 << 20
_EXAMPLES = 3
_MANIFESTS = {
    ".parquet": (".parquet",),
    ".jsonl": tuple(f"{kind}{how}" for kind in (".jsonl", ".ndjson") for how in ("", *PACKINGS)),
    ".tar": (".tar",),
}
"""Files that a folder is read by, the first kind that it has, and their suffixes."""
_REASON_SUFFIX, _SEMANTIC_SUFFIX = "_reason.pt", "_semantic.pt"
_BY_NAME = "not audio by their suffixes; --set manifest.suffixes=all takes those that hold audio"
_BY_CONTENT = "not audio by their suffixes or their first bytes"
_HIDDEN = "their names begin with a dot, so they are never taken"
_ASIDE = (
    "they lie in folders whose names begin with '_', where engines keep unfinished and removed "
    "parts; a pattern such as 'INPUT/_*/*.parquet' takes them"
)
_BESIDE = "rows may name them, and a pattern such as '*.wav' takes them by themselves"


def folder_sources(folder: str, scan: Scan) -> list[Source]:
    """The sources of a folder.

    Args:
        folder: its address, without a slash at the end.
        scan: how much of it is wanted; it is told what is left out.

    Raises:
        UsageError: nothing in it can be read.
    """
    listing = _list(folder, scan)
    sources = list(_sources(folder, listing, scan))
    if listing.hidden:
        scan.noticed.leave_out("files and folders", {HIDDEN: listing.hidden}, _HIDDEN)
    return sources


def _sources(folder: str, listing: Listing, scan: Scan) -> Iterator[Source]:
    refused = dict(listing.folders())
    if refused:
        yield refused_source(folder + "/", refused)
    refuse_logged_tables(folder, [*listing.names, *sorted(listing.marks)])
    archives = [name for name in listing.names if archive_of(name)]
    listing.names = [name for name in listing.names if not archive_of(name)]
    zips = [name for name in archives if archive_of(name) == ".zip"]
    _leave_archives(folder, [name for name in archives if name not in set(zips)], scan)
    others = corpus_sources(folder, listing, scan, archives, sum(_MANIFESTS.values(), ()))
    if others is None:
        others = _other_toolkit(folder, listing, scan)
    if others is not None:
        _leave_archives(folder, zips, scan)
        yield from others
        return
    for kind, suffixes in _MANIFESTS.items():
        if any(name.lower().endswith(suffixes) for name in listing.names):
            _set_aside(listing, kind, scan)
        names = [name for name in listing.names if name.lower().endswith(suffixes)]
        if names:
            taken = [*names, *filter(None, map(shar_tar, names)), *_indexes(names, listing)]
            scan.noticed.leave_out(
                "files", listing.left_out(taken), f"INPUT is read by its {kind} files; {_BESIDE}"
            )
            _leave_archives(folder, zips, scan)
            yield from _manifests(kind, folder, names, listing, scan)
            return
    table = _folder_table(folder, listing, scan)
    if table is None and zips:
        yield from _manifests(".zip", folder, zips, listing, scan)
        return
    _leave_archives(folder, zips, scan)
    if table is None and not refused:
        left_out = "; ".join(map(str, scan.noticed.left_out))
        raise UsageError(
            f"{folder}: nothing in it is a row: no .parquet, .jsonl or .tar, no code pairs, no "
            f"audio; {left_out or 'it holds no files'}"
        )
    if table is not None:
        count = str(len(listing.names))
        yield files_source(folder + "/", count, table, scan)


def _list(uri: str, scan: Scan) -> Listing:
    fs, path = split_uri(uri)
    return list_folder(path, scan) if isinstance(fs, LocalFileSystem) else list_remote(fs, path)


def _manifests(
    kind: str, folder: str, names: list[str], listing: Listing, scan: Scan
) -> Iterator[Source]:
    """The sources of a folder's manifests, and rows that fail for those that are not read."""
    if kind == ".jsonl":
        yield from json_sources(folder, names, listing, scan)
        return
    faults = {name: fault for name in names if (fault := listing.fault(name))}
    uris = [f"{folder}/{name}" for name in names if name not in faults]
    facts = {f"{folder}/{name}": known for name, known in listing.facts.items()}
    if kind in READ_ARCHIVES:
        indexes = [name for name in _indexes(names, listing) if not listing.fault(name)]
        yield from tar_sources(uris, scan, [f"{folder}/{name}" for name in indexes], facts)
    else:
        found = parquet_sources(scan.first_files(uris), facts, scan)
        yield from partitioned(found, folder, scan)
    if faults:
        yield refused_source(folder + "/", faults)


def _indexes(names: list[str], listing: Listing) -> list[str]:
    """Files of a listing that are called as indexes of tars are."""
    tars = [name for name in names if name.lower().endswith(".tar")]
    return sorted({one for tar in tars for one in index_names(tar)}.intersection(listing.names))


def _leave_archives(folder: str, archives: list[str], scan: Scan) -> None:
    """Say of archives that are not read what unpacks them."""
    if archives:
        why = f"{unpack_first(f'{folder}/{archives[0]}')}, or what you unpack all of them to"
        scan.noticed.leave_out("archives", map(archive_of, archives), why)


def _set_aside(listing: Listing, kind: str, scan: Scan) -> None:
    """Take out of a listing what engines keep in it for themselves."""
    is_parquet = kind == ".parquet"
    aside = {name for name in listing.names if is_leftover(name, is_parquet)}
    scan.noticed.leave_out("files", map(suffix_of, sorted(aside)), _ASIDE)
    listing.names = [name for name in listing.names if name not in aside]


def _other_toolkit(uri: str, listing: Listing, scan: Scan) -> list[Source] | None:
    """The sources of a folder that `datasets`, NeMo or Kaldi lays out; None for any other."""
    names = set(listing.names)
    try:
        if saved_datasets.is_saved(names):
            return list(_saved_dataset(uri, listing, scan))
    except BadRow as error:
        raise UsageError(error.message) from error
    tarred = tarred_sources(uri, listing, scan)
    if tarred is not None:
        return tarred
    scps = kaldi.data_folders(names)
    return _kaldi_folders(uri, scps, listing, scan) if scps else None


def _kaldi_folders(uri: str, scps: list[str], listing: Listing, scan: Scan) -> list[Source]:
    """The data folders that a folder is or holds."""
    others = set(listing.names)
    for scp in scps:
        before = scp.removesuffix(kaldi.MARK)
        others -= {before + name for name in (*kaldi.FILES, *kaldi.IMPLIED)}
    # these have names, not suffixes, but for what lies around several folders
    kinds = [posixpath.basename(n) if len(scps) == 1 else suffix_of(n) for n in others]
    scan.noticed.leave_out("files", kinds, f"of a Kaldi folder {', '.join(kaldi.FILES)} are read")
    if len(scps) > 1:
        some = ", ".join(quoted(scp, 80) for scp in scps[:_EXAMPLES])
        scan.noticed.understood(
            uri,
            f"holds {len(scps)} data folders of Kaldi ({some}); all are read: name one of "
            "these files as INPUT to read it alone",
        )
    found = [
        kaldi_source(f"{uri}/{scp}", listing, scan, posixpath.join(posixpath.dirname(scp), ""))
        for scp in scps
    ]
    return ids_apart(found, [scp.removesuffix(kaldi.MARK).rstrip("/_") for scp in scps])


def _saved_dataset(uri: str, listing: Listing, scan: Scan) -> Iterator[Source]:
    """A folder that `datasets` saved: its shards in order, or those of all splits."""
    read_files: list[str] = []

    def read(name: str) -> Any:
        if fault := listing.fault(name, is_text=True):
            raise UsageError(f"{uri}: {fault}")
        read_files.append(name)
        return _read_json(f"{uri}/{name}")

    shards = list(saved_datasets.shards(read))
    folders = {posixpath.dirname(name) for name in read_files}
    marks = [posixpath.join(folder, mark) for folder in folders for mark in saved_datasets.MARKS]
    scan.noticed.leave_out(
        "files",
        listing.left_out([*shards, *read_files, *marks]),
        "the dataset's own record of its files does not name them",
    )
    for name in shards:
        if fault := listing.fault(name):
            yield refused_source(f"{uri}/{name}", {name: fault})
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


def _folder_table(uri: str, listing: Listing, scan: Scan) -> pa.Table | None:
    """Rows for a folder: published code pairs when there are any, else audio files."""
    present = set(listing.names)
    stems = [
        name[: -len(_SEMANTIC_SUFFIX)] for name in listing.names if name.endswith(_SEMANTIC_SUFFIX)
    ]
    if stems:
        taken = [stem + suffix for stem in stems for suffix in (_SEMANTIC_SUFFIX, _REASON_SUFFIX)]
        scan.noticed.leave_out(
            "files", listing.left_out(taken), f"INPUT is read by its code pairs; {_BESIDE}"
        )
        return table_of_dicts([_pair_row(uri, stem, present, listing) for stem in stems])
    audio = audio_files(uri, listing, scan)
    return table_of_files(audio, listing.fault) if audio else None


def audio_files(folder: str, listing: Listing, scan: Scan) -> list[str]:
    """The audio files of a listing, sorted; the others are noted as left out."""
    audio = [name for name in listing.names if is_audio_name(name)]
    why = _BY_NAME
    if scan.suffixes == "all":
        others = [
            name for name in listing.names if not is_audio_name(name) and not listing.fault(name)
        ]
        found = audio_by_content(others, lambda name, size: read_head(f"{folder}/{name}", size))
        audio, why = sorted([*audio, *found]), _BY_CONTENT
    scan.noticed.leave_out("files", listing.left_out(audio), why)
    return audio


def _pair_row(uri: str, stem: str, present: set[str], listing: Listing) -> Row:
    names = (stem + _SEMANTIC_SUFFIX, stem + _REASON_SUFFIX)
    for name in names:
        if name in present and (fault := listing.fault(name)):
            return {"id": stem, FAULT_COLUMN: fault}
    recon, reason = (posixpath.join(uri, name) if name in present else None for name in names)
    return {"id": stem, "recon_path": recon, "reason_path": reason}
