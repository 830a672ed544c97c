"""Tars and zips of an INPUT: their samples are rows, and their members addresses of audio."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import BinaryIO

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.batch.names import FAULT_COLUMN
from actors.prefetch.in_order import in_order
from actors.prefetch.ranges import range_reader
from actors.prefetch.sparse_reader import SparseReader, open_archive
from actors.storage.addresses import LOCAL, AddressPolicy, is_store, scheme_of
from actors.storage.fetch import fetch
from actors.storage.file_systems import REQUESTS_AT_ONCE, split_uri
from pipelines.errors import UsageError
from pipelines.manifest.formats.kinds import is_manifest
from pipelines.manifest.listing import Listing, check_files
from pipelines.manifest.sources import (
    Facts,
    Source,
    identity,
    identity_of,
    ids_apart,
    later_ids_apart,
)
from pipelines.manifest.tables.noticed import Noticed
from pipelines.manifest.tables.scan import ReadArchive, Scan
from pipelines.manifest.tars import webdataset
from pipelines.manifest.tars.archives import unpack_first
from pipelines.manifest.tars.members import DamagedArchive, TarArchive
from pipelines.manifest.tars.tar_index import (
    MOST_INDEX_BYTES,
    IndexedTar,
    ReadRange,
    UnusableIndex,
    found_members,
    parse_index,
    sample_places,
)
from pipelines.manifest.tars.tar_members import tar_members
from uniaudio2.audio.sniff import HEAD_BYTES, POINTER, is_pointer
from uniaudio2.errors import BadRow

_COST = 16  # of looking at a tar, where that of a Parquet file is 1
_ASKED_FOR = 8  # of so many tars each index is asked for; of more their folders are listed
_INDEXES = "tar index files"
_UNUSED = (
    "they tell no members, or others than their tars have, whose headers are read instead; "
    "`wds2idx` of NVIDIA DALI makes them anew"
)


def tars_beside(uri: str) -> list[str]:
    """The tars in the folder of a file, or in the folder above where there is none."""
    folder = posixpath.dirname(uri)
    for where in (folder, posixpath.dirname(folder)):
        if scheme_of(where) != scheme_of(folder):  # above a bucket there is nothing
            break
        fs, path = split_uri(where)
        found = [str(name) for name in fs.ls(path, detail=False)]
        names = sorted(posixpath.basename(name) for name in found if name.endswith(".tar"))
        if names:
            return [f"{where}/{name}" for name in names]
    return []


def members_of(uri: str, scan: Scan) -> dict[str, str]:
    """The files in a tar, see `tar_members`.

    Raises:
        UsageError: it is a link that is not followed.
    """
    fs, path = split_uri(uri)
    if isinstance(fs, LocalFileSystem):
        folder, name = posixpath.split(path)
        if fault := check_files(folder, [name], scan).fault(name):
            raise UsageError(f"{uri}: {fault}")
    with open_archive(uri) as file:
        return tar_members(file, uri)


def tar_sources(
    uris: list[str],
    scan: Scan,
    there: Collection[str] | None = None,
    facts: Mapping[str, Facts] | None = None,
) -> list[Source]:
    """WebDataset tars, and zips as if they were; where their keys repeat, the names of the files
    become part of the ids.

    Of very many the first may suffice. Then whether keys repeat cannot be known: what is found of
    the first holds, see `IdsBefore`. Each is looked at as if it were the only one, for ids must not
    depend on how many rows suffice.

    Args:
        uris: of the archives.
        scan: how much of them is wanted.
        there: addresses of all files that may be their indexes, see `tar_index`; None looks for
            them.
        facts: what a store's listing tells of archives, by their addresses.

    Raises:
        UsageError: one is not there, or is a zip that cannot be read.
    """

    def read(uri: str) -> tuple[Source, Noticed, bool]:
        listed = (facts or {}).get(uri)
        known = _known_source(uri, listed, scan)
        if known is not None:
            return *known, False
        noticed = Noticed()
        own = replace(scan.of_one_file(), noticed=noticed)
        return _tar_source(uri, own, indexes, listed, each), noticed, True

    indexes = _indexes_beside(uris, scan) if there is None else {*there}
    taken, sources = scan.first_files(uris, _COST), list[Source]()
    # tars of a disk one after the other: it is what bounds them
    threads = REQUESTS_AT_ONCE if any(map(is_store, uris)) else 1
    each = max(threads // max(len(taken), 1), 1)  # for one of them
    for source, noticed, is_new in in_order(read, taken, threads):
        if is_new:
            _keep(source, noticed, scan)
        sources.append(source)
        scan.noticed.take(noticed)
    names = [posixpath.splitext(posixpath.basename(uri))[0] for uri in taken]
    if scan.ids_before.settled:
        return later_ids_apart(sources, names)
    apart = ids_apart(sources, names)
    if len(taken) < len(uris) and apart is sources:
        scan.ids_before = replace(scan.ids_before, settled=True)
    return apart


def _settings(scan: Scan) -> str:
    """All that the rows of an archive depend on, but itself."""
    return repr((scan.suffixes, sorted(scan.as_text), sorted(scan.expected.items())))


def _known_source(uri: str, facts: Facts | None, scan: Scan) -> tuple[Source, Noticed] | None:
    """An archive that is what it was when all of it was read before, and what was noticed then."""
    if scan.known is None or scan.rows is not None:
        return None
    try:
        mark = identity_of(facts) if facts else identity(uri)
    except OSError:  # which reading it will tell
        return None
    found = scan.known.archive(uri, mark, _settings(scan))
    if found is None:
        return None
    table = found.table
    source = Source(uri, mark, table.num_rows, table.schema, table, True)
    return source, Noticed.of_text(found.noticed)


def _keep(source: Source, noticed: Noticed, scan: Scan) -> None:
    """Keep what all of an archive gave; what could not be read of it may be there another time."""
    if scan.known is None or scan.rows is not None or source.table is None:
        return
    if FAULT_COLUMN in source.schema.names:
        return
    own = replace(noticed, left_out=[one for one in noticed.left_out if one.what != _INDEXES])
    read = ReadArchive(source.table, own.text())
    scan.known.keep_archive(source.uri, source.identity, _settings(scan), read)


def index_names(uri: str) -> list[str]:
    """What the index of a tar may be called, beside it."""
    folder, name = posixpath.split(uri)
    stems = (name.partition(".")[0], posixpath.splitext(name)[0], name)
    return [posixpath.join(folder, f"{stem}.idx") for stem in dict.fromkeys(stems)]


def _indexes_beside(uris: list[str], scan: Scan) -> set[str]:
    """Addresses of files that may be indexes of tars: of a few tars all that they may be called."""
    tars = [uri for uri in uris if uri.lower().endswith(".tar")]
    asked = [uri for uri in tars if is_store(uri) or scheme_of(uri) in LOCAL]
    wanted = {name for uri in asked for name in index_names(uri)}
    found: set[str] = set()
    for folder in {posixpath.dirname(name) for name in wanted}:
        fs, path = split_uri(folder or ".")
        names = {posixpath.basename(name) for name in wanted if posixpath.dirname(name) == folder}
        if len(uris) > _ASKED_FOR:
            try:
                names &= {posixpath.basename(str(name)) for name in fs.ls(path, detail=False)}
            except OSError:  # what is in it may be read without being listed
                continue
        is_local = isinstance(fs, LocalFileSystem)
        listing = check_files(path, sorted(names), scan) if is_local else Listing([])
        found.update(posixpath.join(folder, name) for name in names if not listing.fault(name))
    return found


def _tar_source(
    uri: str, scan: Scan, indexes: Collection[str], facts: Facts | None, threads: int
) -> Source:
    with open_archive(uri, int(facts["size"]) if facts else None) as file:
        if is_pointer(file.read(HEAD_BYTES)):
            raise UsageError(f"{uri} is {POINTER}")
        if uri.lower().endswith(".zip"):
            table = _zip_table(file, uri, scan)
        else:
            archive = _indexed(file, uri, scan, indexes, threads) or TarArchive(file, uri)
            table = webdataset.read_samples(archive, uri, scan)
            if isinstance(file, SparseReader) and file.is_misled:
                scan.noticed.leave_out(_INDEXES, [".idx"], _UNUSED)
    mark = identity_of(facts) if facts else identity(uri)
    return Source(uri, mark, table.num_rows, table.schema, table, True)


def _indexed(
    file: BinaryIO, uri: str, scan: Scan, indexes: Collection[str], threads: int
) -> IndexedTar | None:
    """A tar by its index; None where it has none that can be used."""
    unused = 0
    read = range_reader(uri) if is_store(uri) else _reader_of(file)
    for name in index_names(uri):
        if name not in indexes:
            continue
        try:
            data = fetch(name, MOST_INDEX_BYTES, AddressPolicy(posixpath.dirname(uri)))
            size = file.seek(0, 2)
            if places := sample_places(data, size):
                if isinstance(file, SparseReader):
                    file.expect(places, threads)
                return None
            members = found_members(parse_index(data, size), size, read)
            return IndexedTar(uri, members, read, threads, webdataset.is_text)
        except BadRow as error:
            unused += error.kind in ("too_large", "unreadable_file")  # else none may be there
        except UnusableIndex:
            unused += 1
        except OSError:  # which reading the tar will tell
            continue
    scan.noticed.leave_out(_INDEXES, [".idx"] * unused, _UNUSED)
    return None


def _reader_of(file: BinaryIO) -> ReadRange:
    def read(start: int, stop: int) -> bytes:
        file.seek(start)
        return file.read(stop - start)

    return read


def _zip_table(file: BinaryIO, uri: str, scan: Scan) -> pa.Table:
    """Samples of a zip; what in it can only be read when it is unpacked is told."""
    before = len(scan.noticed.left_out)
    try:
        table = webdataset.read_zip(file, uri, scan)
    except DamagedArchive as error:
        raise UsageError(f"{error}; {unpack_first(uri)}") from error
    unread = {kind for some in scan.noticed.left_out[before:] for kind in some.kinds}
    inner = sorted(kind for kind in unread if is_manifest(f"a{kind}"))
    if not table.num_rows:
        raise UsageError(f"{uri}: nothing in it is a row; {unpack_first(uri)}")
    if inner:
        scan.noticed.understood(
            uri, f"holds {', '.join(inner)} that give no rows; {unpack_first(uri)}"
        )
    return table
