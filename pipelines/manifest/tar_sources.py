"""Tars and zips of an INPUT: their samples are rows, and their members addresses of audio."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import BinaryIO

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.prefetch.in_order import in_order
from actors.prefetch.sparse_reader import open_archive
from actors.storage.addresses import is_store, scheme_of
from actors.storage.file_systems import REQUESTS_AT_ONCE, split_uri
from pipelines.errors import UsageError
from pipelines.manifest.formats.kinds import is_manifest
from pipelines.manifest.listing import check_files
from pipelines.manifest.sources import Source, identity, ids_apart
from pipelines.manifest.tables.noticed import Noticed
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tars import webdataset
from pipelines.manifest.tars.archives import unpack_first
from pipelines.manifest.tars.members import DamagedArchive
from pipelines.manifest.tars.tar_members import tar_members
from uniaudio2.audio.sniff import HEAD_BYTES, POINTER, is_pointer


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


def tar_sources(uris: list[str], scan: Scan) -> list[Source]:
    """WebDataset tars, and zips as if they were; where their keys repeat, the names of the files
    become part of the ids.

    Each is looked at as if it were the only one, for ids must not depend on how many rows suffice.

    Raises:
        UsageError: one is not there, or is a zip that cannot be read.
    """

    def read(uri: str) -> tuple[Source, Noticed]:
        noticed = Noticed()
        return _tar_source(uri, replace(scan.of_one_file(), noticed=noticed)), noticed

    sources = []
    # tars of a disk one after the other: it is what bounds them
    threads = REQUESTS_AT_ONCE if any(map(is_store, uris)) else 1
    for source, noticed in in_order(read, uris, threads):
        sources.append(source)
        scan.noticed.take(noticed)
    return ids_apart(sources, [posixpath.splitext(posixpath.basename(uri))[0] for uri in uris])


def _tar_source(uri: str, scan: Scan) -> Source:
    with open_archive(uri) as file:
        if is_pointer(file.read(HEAD_BYTES)):
            raise UsageError(f"{uri} is {POINTER}")
        if uri.lower().endswith(".zip"):
            table = _zip_table(file, uri, scan)
        else:
            table = webdataset.read_tar(file, uri, scan)
    return Source(uri, identity(uri), table.num_rows, table.schema, table, True)


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
