"""Folders that table engines write: partitions that are columns, leftovers, tables with a log.

Spark, DuckDB, Polars and pyarrow name folders ``language=de`` and leave the column out of the
files. Delta Lake, Iceberg and Hudi keep removed rows in the folder; which are current, their logs
alone know.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote

import pyarrow as pa

from actors.columnar.constants import Constant, constants_schema, constants_text
from pipelines.errors import UsageError
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.scan import Scan
from uniaudio2.shown import listed

_PARTITION = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}")
_LEFTOVERS = {"_temporary", "_delta_log", "_spark_metadata"}
_ENGINE_MARKS = (
    ("Delta Lake", re.compile(r"(?:(.*)/)?_delta_log/[^/]*\.json")),
    ("Iceberg", re.compile(r"(?:(.*)/)?metadata/[^/]*\.metadata\.json(?:\.gz)?")),
    ("Hudi", re.compile(r"(?:(.*)/)?\.hoodie/")),
)
_REMEDIES = {
    "Delta Lake": "duckdb -c \"COPY (FROM delta_scan('{}')) TO 'rows.parquet'\"",
    "Iceberg": "duckdb -c \"COPY (FROM iceberg_scan('{}')) TO 'rows.parquet'\"",
    "Hudi": "spark.read.format('hudi').load('{}').write.parquet('rows')",
}
_KINDS = {"string": "text", "int64": "whole numbers"}


def refuse_logged_tables(folder: str, names: Iterable[str]) -> None:
    """Refuse folders whose files are not all rows of their table.

    Args:
        folder: address of INPUT.
        names: of files inside of it, and of folders, ending in a slash, that are marks.

    Raises:
        UsageError: it, or a folder in it, is a table of Delta Lake, Iceberg or Hudi.
    """
    for name in names:
        for engine, mark in _ENGINE_MARKS:
            if found := mark.fullmatch(name):
                table = posixpath.join(folder, found[1] or "").rstrip("/")
                raise UsageError(
                    f"{table} is a {engine} table; its folder also holds rows that were removed, "
                    "and its log is not read here. Write its current rows first, such as with "
                    f"{_REMEDIES[engine].format(table)}, and name those"
                )


def is_leftover(name: str, is_parquet: bool) -> bool:
    """Tell a file that lies in a folder which engines keep for themselves.

    Args:
        name: of a file inside of INPUT.
        is_parquet: INPUT is read by Parquet files, whose engines all pass over ``_`` folders.
    """
    folders = name.split("/")[:-1]
    return any(part in _LEFTOVERS or (is_parquet and part.startswith("_")) for part in folders)


def partitioned(sources: list[Source], root: str, scan: Scan) -> list[Source]:
    """Sources with the columns that the names of their folders hold.

    A column is of whole numbers where all its values are; a column that a file has itself stays.

    Args:
        sources: Parquet files.
        root: address of the folder that INPUT names, or that a pattern begins in. Of the folders
            above it count those that it ends in.
        scan: told of the columns.
    """
    found = [_partition_of(source.uri, root) for source in sources]
    values: dict[str, list[str | None]] = {}
    for partition in found:
        for name, value in partition.items():
            values.setdefault(name, []).append(value)
    kinds = {
        name: "int64" if _are_whole_numbers(column) else "string" for name, column in values.items()
    }
    if not kinds:
        return sources
    told = [f"{name} ({_KINDS[kind]})" for name, kind in kinds.items()]
    scan.noticed.understood(root, f"has folders NAME=VALUE, which are columns: {listed(told)}")
    return [
        _with_partition(source, partition, kinds)
        for source, partition in zip(sources, found, strict=True)
    ]


def _partition_of(uri: str, root: str) -> dict[str, str | None]:
    top = root.rstrip("/")
    inside = uri[len(top) + 1 :] if uri.startswith(top + "/") else posixpath.basename(uri)
    above: list[str] = []
    for part in reversed(top.split("/")):
        if not _PARTITION.fullmatch(part):
            break
        above.insert(0, part)
    partition: dict[str, str | None] = {}
    for part in [*above, *inside.split("/")[:-1]]:
        if pair := _PARTITION.fullmatch(part):
            value = unquote(pair[2])
            partition[unquote(pair[1])] = None if value == _NULL else value
    return partition


def _are_whole_numbers(column: list[str | None]) -> bool:
    told = [value for value in column if value is not None]
    return bool(told) and all(_WHOLE_NUMBER.fullmatch(value) for value in told)


def _with_partition(
    source: Source, partition: dict[str, str | None], kinds: dict[str, str]
) -> Source:
    constants: dict[str, tuple[str, Constant]] = {}
    for name, value in partition.items():
        if name not in source.schema.names:
            is_number = kinds[name] == "int64" and value is not None
            constants[name] = (kinds[name], int(value) if is_number and value else value)
    text = constants_text(constants)
    schema = pa.schema([*source.schema, *constants_schema(text)])
    return replace(source, schema=schema, constants=text)
