"""Manifests of every kind, seen as tables: Parquet, JSONL, CSV/TSV, text, folders.

Parquet stays where it is and is read unit by unit; the small text formats are read here, once.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.load import FAULT_COLUMN
from actors.storage import read_uri, split_uri
from actors.unit import open_parquet
from pipelines.errors import UsageError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
_REASON_SUFFIX, _SEMANTIC_SUFFIX = "_reason.pt", "_semantic.pt"


@dataclass(frozen=True)
class Source:
    """One piece of a manifest.

    Attributes:
        uri: where it is.
        identity: size and modification mark, so that a changed file is noticed.
        rows: its row count.
        schema: its columns.
        table: the rows themselves, for formats that are read whole; None for Parquet.
    """

    uri: str
    identity: str
    rows: int
    schema: pa.Schema
    table: pa.Table | None = None

    @property
    def base(self) -> str:
        """What relative audio paths are relative to."""
        return posixpath.dirname(self.uri)


def _identity(uri: str) -> str:
    fs, path = split_uri(uri)
    facts = fs.info(path)
    mark = facts.get("ETag") or facts.get("mtime") or facts.get("LastModified") or ""
    return f"{facts.get('size')}:{mark}"


def _full_uri(original: str, path: str) -> str:
    protocol, separator, _ = original.partition("://")
    return f"{protocol}://{path}" if separator and protocol != "file" else path


def parquet_source(uri: str) -> Source:
    """A Parquet file by its footer alone."""
    try:
        with open_parquet(uri) as file:
            return Source(uri, _identity(uri), file.metadata.num_rows, file.schema_arrow)
    except (pa.ArrowInvalid, OSError) as fault:
        if isinstance(fault, FileNotFoundError):
            raise
        raise UsageError(f"{uri}: {fault}; a readable Parquet file is needed") from fault


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        plain = (str, type(None))
        return pa.array([v if isinstance(v, plain) else json.dumps(v, default=str) for v in values])


def table_of_dicts(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with differing keys as one table; a column of mixed types becomes JSON text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def parse_jsonl(data: bytes) -> pa.Table:
    """One JSON object a line; a line that is none becomes a row that fails with its line number."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a {type(row).__name__}, not an object")
        except (ValueError, RecursionError) as fault:
            row = {"id": f"line-{number}", FAULT_COLUMN: f"line {number}: {fault}"}
        rows.append(row)
    return table_of_dicts(rows)


def _parse_delimited(delimiter: str) -> Callable[[bytes], pa.Table]:
    def parse(data: bytes) -> pa.Table:
        text = io.StringIO(data.decode("utf-8-sig", "replace"), newline="")
        rows = [
            {name: value for name, value in row.items() if name is not None}
            for row in csv.DictReader(text, delimiter=delimiter)
        ]
        return table_of_dicts(rows)

    return parse


def parse_lines(data: bytes) -> pa.Table:
    """A text file: one row a line, blank lines left out, the line number part of the row."""
    lines = data.decode("utf-8", "replace").splitlines()
    return table_of_dicts(
        [{"line": n, "text": line} for n, line in enumerate(lines, 1) if line.strip()]
    )


_PARSERS: dict[str, Callable[[bytes], pa.Table]] = {
    ".jsonl": parse_jsonl,
    ".ndjson": parse_jsonl,
    ".json": parse_jsonl,
    ".csv": _parse_delimited(","),
    ".tsv": _parse_delimited("\t"),
    ".txt": parse_lines,
}


def _small_source(uri: str, parse: Callable[[bytes], pa.Table]) -> Source:
    table = parse(read_uri(uri))
    return Source(uri, _identity(uri), table.num_rows, table.schema, table)


def _folder_table(names: list[str]) -> pa.Table | None:
    """Rows for a folder: published code pairs when there are any, else audio files."""
    present = set(names)
    pairs = [
        (name[: -len(_SEMANTIC_SUFFIX)], name) for name in names if name.endswith(_SEMANTIC_SUFFIX)
    ]
    if pairs:
        reasons = [stem + _REASON_SUFFIX for stem, _ in pairs]
        return pa.table(
            {
                "id": pa.array([stem for stem, _ in pairs]),
                "recon_path": pa.array([name for _, name in pairs]),
                "reason_path": pa.array(
                    [name if name in present else None for name in reasons], pa.string()
                ),
            }
        )
    audio = [name for name in names if name.lower().endswith(AUDIO_SUFFIXES)]
    if not audio:
        return None
    return pa.table({"id": pa.array(audio), "audio": pa.array(audio)})


def _folder_sources(uri: str) -> Iterator[Source]:
    fs, path = split_uri(uri)
    found = sorted(str(name) for name in fs.find(path))
    parquet = [name for name in found if name.endswith(".parquet")]
    if parquet:
        yield from (parquet_source(_full_uri(uri, name)) for name in parquet)
        return
    lines = [name for name in found if name.endswith((".jsonl", ".ndjson"))]
    if lines:
        yield from (_small_source(_full_uri(uri, name), parse_jsonl) for name in lines)
        return
    table = _folder_table([name[len(path.rstrip("/")) + 1 :] for name in found])
    if table is None:
        kinds = ", ".join(AUDIO_SUFFIXES)
        raise UsageError(
            f"{uri}: no .parquet, .jsonl, code pairs or audio files ({kinds}) among its "
            f"{len(found)} files; name a manifest or a folder with some"
        )
    for name in ("recon_path", "reason_path"):
        if name in table.column_names:
            full = [value and posixpath.join(uri, value) for value in table[name].to_pylist()]
            table = table.set_column(
                table.column_names.index(name), name, pa.array(full, pa.string())
            )
    folder = uri.rstrip("/") + "/"
    yield Source(folder, str(len(found)), table.num_rows, table.schema, table)


def find_sources(uri: str) -> list[Source]:
    """Everything that an INPUT names, in a fixed order.

    Args:
        uri: a file, a folder or a glob, local or on any fsspec file system.

    Raises:
        UsageError: nothing is there, or its kind is not known.
    """
    fs, path = split_uri(uri)
    if any(sign in path for sign in "*?["):
        names = sorted(str(name) for name in fs.glob(path))
        if not names:
            raise UsageError(f"{uri}: the pattern matches no file; check the path")
        return [source for name in names for source in find_sources(_full_uri(uri, name))]
    if fs.isdir(path):
        return list(_folder_sources(_full_uri(uri, path)))
    if not fs.exists(path):
        raise UsageError(f"{uri}: no such file or folder; check the path and the endpoint")
    suffix = posixpath.splitext(path)[1].lower()
    full = _full_uri(uri, path)
    if suffix == ".parquet":
        return [parquet_source(full)]
    if suffix in _PARSERS:
        return [_small_source(full, _PARSERS[suffix])]
    if suffix in AUDIO_SUFFIXES:
        table = pa.table({"id": [posixpath.basename(path)], "audio": [posixpath.basename(path)]})
        return [Source(full, _identity(full), 1, table.schema, table)]
    known = ", ".join([".parquet", *_PARSERS, *AUDIO_SUFFIXES])
    raise UsageError(f"{uri}: kind {suffix!r} is not known; one of {known}, or a folder")
