"""The sources that one file of an INPUT is: a table, a tar, a text, a sound.

Parquet and Arrow files stay where they are and are read unit by unit, as are the sounds inside
tars; the small text formats are read here, once.
"""

from __future__ import annotations

import functools
import posixpath
import re

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.batch.names import FAULT_COLUMN
from actors.storage.fetch import Limits, open_uri, read_head, require_regular
from actors.storage.file_systems import split_uri
from pipelines.errors import UsageError
from pipelines.manifest.formats.kinds import READ_ARCHIVES, is_text
from pipelines.manifest.formats.text_formats import PARSERS, Parse, parse_lines
from pipelines.manifest.listing import Listing, check_files
from pipelines.manifest.sources import (
    Source,
    arrow_source,
    files_source,
    identity,
    parquet_sources,
)
from pipelines.manifest.tables.audio_names import AUDIO_SUFFIXES, audio_by_content
from pipelines.manifest.tables.packing import packing_of, without_packing
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.tables.text_lines import TextFile
from pipelines.manifest.tar_sources import tar_sources
from pipelines.manifest.tars.archives import archive_of, unpack_first
from pipelines.manifest.toolkits import kaldi
from uniaudio2.errors import BadRow

_MAX_TEXT_BYTES = 4 << 30
_MOST_COUNTED_BYTES = 2 << 30
_BLOCK_BYTES = 1 << 20
_LIMITS = Limits(_MAX_TEXT_BYTES)


def full_uri(original: str, path: str) -> str:
    """The address of a path on the file system of another address."""
    protocol, separator, _ = original.partition("://")
    return f"{protocol}://{path}" if separator and protocol != "file" else path


def place_of(source: str, uri: str) -> str:
    """The name of a source that its rows' places begin with: its path below INPUT.

    Args:
        source: its address.
        uri: INPUT, a file, a folder or a pattern.
    """
    path = split_uri(uri)[1].rstrip("/")
    for top in (path, posixpath.dirname(re.split(r"[*?[]", path, maxsplit=1)[0])):
        above = full_uri(uri, top.rstrip("/")) + "/"
        if source.startswith(above) and source != above:
            return source[len(above) :].strip("/")
    return posixpath.basename(source.rstrip("/"))


def line_count(uri: str) -> int | None:
    """How many lines a local file of 2 GiB at most has; None for any other file."""
    fs, path = split_uri(uri)
    if not isinstance(fs, LocalFileSystem) or fs.size(path) > _MOST_COUNTED_BYTES:
        return None
    require_regular(path)
    lines, last = 0, b""
    with fs.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            lines += block.count(b"\n")
            last = block
    return lines + (last[-1:] not in (b"", b"\n"))


def refused_source(uri: str, faults: dict[str, str]) -> Source:
    """Rows that fail, for files that are not read."""
    ids = [name.encode("utf-8", "backslashreplace").decode() for name in faults]
    table = pa.table({"id": ids, FAULT_COLUMN: list(faults.values())})
    return Source(uri, str(len(faults)), len(faults), table.schema.remove(0), table)


def file_sources(uri: str, path: str, scan: Scan) -> list[Source]:
    """The sources that one file is.

    Args:
        uri: what was asked for; it tells the protocol.
        path: of the file, on its file system.
        scan: how much of it is wanted.

    Raises:
        UsageError: its kind is not known, or it is damaged.
    """
    suffix = posixpath.splitext(without_packing(path))[1].lower()
    if archive_of(path) not in ("", ".zip") or (packing_of(path) and suffix not in PARSERS):
        raise UsageError(f"{uri}: {unpack_first(full_uri(uri, path))}")
    full = full_uri(uri, path)
    if suffix == ".parquet":
        return parquet_sources([full], {}, scan)
    if kaldi.prefix_of(path) is not None:
        return [_kaldi_of(full, scan)]
    if suffix == ".arrow":
        return [arrow_source(full)]
    if suffix in READ_ARCHIVES:
        return tar_sources([full], scan)
    if suffix in PARSERS:
        return [small_source(full, PARSERS[suffix], scan)]
    # whoever names a file itself means it, whatever its suffix
    if suffix in AUDIO_SUFFIXES or any(audio_by_content([full], read_head)):
        table = pa.table({"id": [posixpath.basename(path)], "audio": [posixpath.basename(path)]})
        return [files_source(full, identity(full), table, scan)]
    known = ", ".join([".parquet", ".arrow", *READ_ARCHIVES, *PARSERS])
    raise UsageError(
        f"{uri}: kind {suffix!r} is not known, and it does not begin as audio does; "
        f"one of {known}, audio, or a folder"
    )


def small_source(uri: str, parse: Parse, scan: Scan) -> Source:
    """A text manifest, read here.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        table = parse(open_text(uri, scan), scan)
    except BadRow as error:
        large = "; a large manifest is better kept as Parquet" if error.kind == "too_large" else ""
        raise UsageError(f"{error.message}{large}") from error
    except ValueError as fault:
        raise UsageError(f"{uri}: {fault}") from fault
    places = ("line",) if parse is parse_lines and "id" in table.column_names else ()
    return Source(
        uri, identity(uri), table.num_rows, table.schema, table, places=places,
        again=functools.partial(small_source, uri, parse),
    )  # fmt: skip


def beside(uri: str, name: str, scan: Scan) -> str | None:
    """The address of another file in the folder of one; None where it is not there.

    Args:
        uri: of the one.
        name: of the other.
        scan: whether links are followed.

    Raises:
        UsageError: it is a link that is not.
    """
    folder = posixpath.dirname(uri)
    fs, path = split_uri(folder)
    if not fs.isfile(f"{path}/{name}"):
        return None
    listing = check_files(path, [name], scan) if isinstance(fs, LocalFileSystem) else Listing([])
    if fault := listing.fault(name, is_text(name)):
        raise UsageError(f"{uri}: {fault}")
    return f"{folder}/{name}"


def open_text(uri: str, scan: Scan) -> TextFile:
    """A text that is read as a scan says."""
    return TextFile(
        lambda: open_uri(uri, _LIMITS, blocks_from=0),
        _MAX_TEXT_BYTES,
        uri,
        packing_of(uri),
        scan.dialect.encoding,
    )


def kaldi_source(uri: str, listing: Listing, scan: Scan, inside: str = "") -> Source:
    """A data folder of Kaldi.

    Args:
        uri: of its ``wav.scp``.
        listing: tells which files of the folder may not be read.
        scan: how many rows suffice.
        inside: where the folder lies in the listed one, ending in a slash.

    Raises:
        UsageError: its files cannot be read.
    """
    prefix = kaldi.prefix_of(uri) or ""
    folder = posixpath.dirname(uri)
    where = uri if prefix else folder + "/"
    faults = {prefix + name: listing.fault(inside + prefix + name, True) for name in kaldi.FILES}
    told = {name: fault for name, fault in faults.items() if fault}
    if told:
        return refused_source(where, told)

    def read(name: str) -> TextFile | None:
        file = f"{folder}/{prefix}{name}"
        try:
            with open_uri(file, _LIMITS):
                return open_text(file, scan)
        except BadRow as error:
            if error.kind == "missing_file":
                return None
            raise

    try:
        table = kaldi.read_kaldi(read, scan)
    except (BadRow, ValueError) as fault:
        raise UsageError(f"{folder}: {fault}") from fault
    return Source(where, str(table.num_rows), table.num_rows, table.schema, table)


def _kaldi_of(uri: str, scan: Scan) -> Source:
    """The data folder of a ``wav.scp`` that INPUT names itself."""
    fs, path = split_uri(posixpath.dirname(uri))
    is_local = isinstance(fs, LocalFileSystem)
    names = [(kaldi.prefix_of(uri) or "") + name for name in kaldi.FILES]
    return kaldi_source(uri, check_files(path, names, scan) if is_local else Listing([]), scan)
