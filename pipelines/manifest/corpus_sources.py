"""The sources of a corpus that is known by its files: a folder, or a metadata file in it."""

from __future__ import annotations

import posixpath
import shlex

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from actors.batch.names import FAULT_COLUMN
from actors.columnar.file_rows import file_batches
from actors.storage.file_systems import split_uri
from pipelines.errors import UsageError
from pipelines.manifest.corpora.corpus import Corpus, Found, folder_of
from pipelines.manifest.corpora.corpus_files import CorpusFiles
from pipelines.manifest.corpora.known import CORPORA, FILE_NAME, recognised
from pipelines.manifest.files import open_text, refused_source, small_source
from pipelines.manifest.formats.text_formats import PARSERS
from pipelines.manifest.listing import Listing, list_folder, list_remote
from pipelines.manifest.shards import alike
from pipelines.manifest.sources import Source, files_source, parquet_source
from pipelines.manifest.tables.options import Dialect
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.toolkits import kaldi

_OFF = "--set manifest.corpus=none takes its files as if they were no corpus"
_TRANSCRIPTS = ("transcription", "transcript", "sentence")
_READ = (FILE_NAME, FAULT_COLUMN)
_NO_NAME = f"no {FILE_NAME}; give the name of the row's file"
_NAMED = (".tsv", "metadata.csv", "GigaSpeech.json", ".stm")


def corpus_sources(
    folder: str, listing: Listing, scan: Scan, archives: list[str], manifests: tuple[str, ...]
) -> list[Source] | None:
    """The sources of a folder that is a corpus.

    Args:
        folder: its address, without a slash at the end.
        listing: of its files.
        scan: how much of it is wanted, and which corpus; it is told what was recognised.
        archives: names of those in it, which the listing does not have.
        manifests: suffixes of files that a folder is read by which is no corpus.

    Returns:
        None where it is none, or where it also holds a manifest, which is read then.

    Raises:
        UsageError: it is not the corpus that it is said to be, or cannot be read.
    """
    if scan.corpus == "none" or (scan.corpus == "auto" and scan.base):
        return None
    files = _files(folder, listing, scan, archives)
    found = recognised(files, scan.corpus)
    if not found:
        if scan.corpus != "auto":
            corpus = CORPORA[scan.corpus]
            raise UsageError(
                f"{folder}: {corpus.title} is known by {corpus.files}; none is there. Name another "
                "folder, or leave manifest.corpus out"
            )
        return None
    corpus, metadata = found[0]
    if metadata.packed:
        _refuse_packed(folder, corpus, metadata)
    if scan.corpus == "auto" and _has_manifest(listing, metadata, manifests):
        scan.noticed.understood(
            folder,
            f"also holds {corpus.title}; --set manifest.corpus={corpus.name} reads that instead",
        )
        return None
    sources = _read(folder, files, corpus, metadata, scan)
    notes = [_understood(corpus, metadata, files)]
    notes += [f"it also holds {other.title}: --set manifest.corpus={other.name} reads that"
              for other, _ in found[1:]]  # fmt: skip
    scan.noticed.understood(folder, "; ".join([*notes, _OFF]))
    for (kind, why), count in files.skipped.items():
        scan.noticed.leave_out(kind, {why: count}, f"{corpus.title} marks them so")
    if files.is_whole:
        scan.noticed.leave_out(
            "files",
            listing.left_out(files.taken()),
            f"INPUT is read as {corpus.title}, which names no others; {_OFF}",
        )
    return sources


def corpus_of_file(
    uri: str, scan: Scan, known: dict[str, bool] | None = None
) -> list[Source] | None:
    """The sources of a corpus' metadata file that is named itself; None for any other file.

    Args:
        uri: of the file.
        scan: how much of it is wanted. Who says how its table is written, which column is the
            audio, or where it lies, means no corpus.
        known: remembers, for several files, which folders may be those of a corpus.

    Raises:
        UsageError: it is not of the corpus that it is said to be, or cannot be read.
    """
    found = _corpus_of_file(uri, scan, {} if known is None else known)
    if found is None and scan.corpus not in ("auto", "none"):
        title = CORPORA[scan.corpus].title
        raise UsageError(
            f"{uri} is no metadata of {title} that can be named by itself; name the folder of the "
            "corpus, or leave manifest.corpus out"
        )
    return found


def _corpus_of_file(uri: str, scan: Scan, known: dict[str, bool]) -> list[Source] | None:
    is_table = scan.dialect == Dialect(encoding=scan.dialect.encoding)
    is_given = not is_table or scan.base or "audio" in scan.names
    if scan.corpus == "none" or is_given or not uri.endswith(_NAMED):
        return None
    folder, name = posixpath.split(uri)
    if name.endswith(".stm") and posixpath.basename(folder) == "stm":
        folder, name = posixpath.dirname(folder), f"stm/{name}"
    fs, path = split_uri(folder)
    if folder not in known:
        beside = {one for corpus in CORPORA.values() for one in corpus.beside}
        known[folder] = any(fs.isdir(posixpath.join(path, one)) for one in sorted(beside))
    if not known[folder]:
        return None
    is_local = isinstance(fs, LocalFileSystem)
    listing = list_folder(path, scan) if is_local else list_remote(fs, path)
    if name not in listing.names:
        return None
    files = _files(folder, listing, scan).only(name)
    found = [one for one in recognised(files, scan.corpus) if one[0].beside]
    if not found:
        return None
    corpus, metadata = found[0]
    if metadata.packed:
        _refuse_packed(folder, corpus, metadata)
    sources = _read(folder, files, corpus, Found(metadata.names), scan)
    note = _understood(corpus, Found(metadata.names), files)
    scan.noticed.understood(uri, f"{note}; --set manifest.corpus=none reads it as any other file")
    for (kind, why), count in files.skipped.items():
        scan.noticed.leave_out(kind, {why: count}, f"{corpus.title} marks them so")
    return sources


def _refuse_packed(folder: str, corpus: Corpus, metadata: Found) -> None:
    """Say how audio is unpacked that still lies in archives.

    Raises:
        UsageError: always.
    """
    some = posixpath.join(folder, posixpath.dirname(metadata.packed[0]))
    raise UsageError(
        f"{folder}: the audio of {corpus.title} is still packed, in {len(metadata.packed)} "
        f"archives such as {metadata.packed[0]}; unpack them: cd {shlex.quote(some)} && "
        "for f in *.tar.gz; do tar -xzf $f; done"
    )


def _files(
    folder: str, listing: Listing, scan: Scan, archives: list[str] | None = None
) -> CorpusFiles:
    return CorpusFiles(
        sorted([*listing.names, *archives]) if archives else listing.names,
        lambda name: open_text(f"{folder}/{name}", scan),
        listing.fault,
        lambda name: [] if listing.fault(name) else parquet_source(f"{folder}/{name}").schema.names,
    )


def _has_manifest(listing: Listing, metadata: Found, suffixes: tuple[str, ...]) -> bool:
    """Tell a folder that is read by a manifest which somebody added."""
    others = {name for name in listing.names if name.lower().endswith(suffixes)}
    return bool(kaldi.data_folders(set(listing.names)) or others - {*metadata.names})


def _understood(corpus: Corpus, metadata: Found, files: CorpusFiles) -> str:
    note = f"is read as {corpus.title} ({corpus.files})"
    if metadata.note:
        note += f", {metadata.note}"
    if files.missing:
        note += f"; {files.missing} of its rows name audio that is not there"
    return note


def _read(
    folder: str, files: CorpusFiles, corpus: Corpus, metadata: Found, scan: Scan
) -> list[Source]:
    if corpus.rows is None:
        return _tables(folder, files, metadata, scan)
    table = corpus.table(files, metadata, scan)
    return [files_source(folder + "/", str(table.num_rows), table, scan)]


def _tables(folder: str, files: CorpusFiles, metadata: Found, scan: Scan) -> list[Source]:
    """Sources of metadata that are tables of their own, each with the folder that it lies in."""
    files.begin()
    refused = {name: fault for name in metadata.names if (fault := files.fault_of(name, True))}
    names = [name for name in metadata.names if name not in refused]
    texts = [name for name in names if not name.endswith(".parquet")]
    found = [
        small_source(f"{folder}/{name}", PARSERS[posixpath.splitext(name)[1]], scan)
        for name in texts
    ]
    tables = dict(zip(texts, alike(found, scan), strict=True))
    sources = []
    for name in names:
        known = tables.get(name) or parquet_source(f"{folder}/{name}")
        table = _renamed(_table_of(known, scan), name, files)
        files.imply(name)
        where = f"{folder}/{folder_of(name)}"
        sources.append(Source(where, known.identity, table.num_rows, table.schema, table))
    files.is_whole = scan.rows is None
    return sources + ([refused_source(folder + "/", refused)] if refused else [])


def _table_of(source: Source, scan: Scan) -> pa.Table:
    if source.table is not None:
        return source.table
    rows = source.rows if scan.rows is None else min(source.rows, scan.rows)
    table = pa.Table.from_batches(file_batches(source.uri, rows, None), source.schema)
    scan.take(rows)
    return table


def _renamed(table: pa.Table, name: str, files: CorpusFiles) -> pa.Table:
    """A table by our names of columns; a row's id is its file's name in INPUT, if it has none."""
    folder = folder_of(name)
    columns = {one: table[one].to_pylist() for one in _READ if one in table.column_names}
    nothing = [None] * table.num_rows
    sounds = [one and str(one) for one in columns.get(FILE_NAME, nothing)]
    faults = columns.get(FAULT_COLUMN, nothing)
    ids: list[str] = []
    for row, sound in enumerate(sounds):
        ids.append(f"{name}:{row}" if sound is None else folder + sound)
        if sound is None:
            faults[row] = faults[row] or _NO_NAME
        else:
            faults[row] = faults[row] or files.fault_of(files.file(folder + sound), False)
    names = {FILE_NAME: "audio"}
    spoken = [one for one in _TRANSCRIPTS if one in table.column_names]
    if "text" not in table.column_names and len(spoken) == 1:
        names[spoken[0]] = "text"
    table = table.rename_columns([names.get(one, one) for one in table.column_names])
    if "id" not in table.column_names:
        table = table.add_column(0, "id", pa.array(ids, pa.string()))
    if any(faults):
        kept = [one for one in table.column_names if one != FAULT_COLUMN]
        table = table.select(kept).append_column(FAULT_COLUMN, pa.array(faults, pa.string()))
    return table
