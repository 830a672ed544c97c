"""Cutting a manifest into units, and refusing before any cost what cannot be run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.load import FAULT_COLUMN
from actors.unit import UnitSpec, open_parquet, row_ids, to_stream
from pipelines.errors import UsageError
from pipelines.manifest import Source, find_sources
from uniaudio2.tasks import TaskSpec

_SMALLEST_RUN_UNITS = 8
_LARGEST_UNIT_ROWS = 32
_ID_BATCH_ROWS = 4096
_STAND_INS = {"audio": ("audio_filepath",), "recon_codes": ("recon_path",)}


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        units: addresses of the rows, in order.
        schema: columns of the whole manifest.
        rows: number of rows.
        sources: the files that were found.
    """

    units: list[UnitSpec]
    schema: pa.Schema
    rows: int
    sources: list[str]


def check_columns(schema: pa.Schema, task: TaskSpec) -> None:
    """Every column that the task needs is there, or one that serves for it.

    Raises:
        UsageError: names what is missing and what is there.
    """
    names = set(schema.names) - {FAULT_COLUMN}
    for column in task.columns:
        others = (*_STAND_INS.get(column, ()), *filter(None, [task.fallback.get(column)]))
        if not names & {column, *others}:
            also = f" (or {', '.join(others)})" if others else ""
            raise UsageError(
                f"column {column!r}{also} is missing; task {task.name} needs "
                f"{', '.join(task.columns)}, the manifest has {', '.join(sorted(names)) or 'none'}"
            )


def common_schema(sources: list[Source]) -> pa.Schema:
    """One schema for all sources; a column that some lack is null there.

    Raises:
        UsageError: a column has types that cannot be brought together, or occurs twice in a file.
    """
    for source in sources:
        names = source.schema.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(
                f"{source.uri}: column {twice!r} occurs more than once; give each its own name"
            )
    try:
        return pa.unify_schemas(
            [s.schema.remove_metadata() for s in sources], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as fault:
        raise UsageError(
            f"the files of the manifest disagree: {fault}; give every column one type"
        ) from fault


def _ids(source: Source, rows: int) -> Iterator[str | None]:
    """Ids of the first `rows` rows of a source, holding one batch at a time.

    Raises:
        UsageError: ids of a wrong type, or rows that cannot be read.
    """
    try:
        yield from _read_ids(source, rows)
    except (ValueError, pa.ArrowException, OSError) as fault:
        raise UsageError(f"{source.uri}: {fault}") from fault


def _read_ids(source: Source, rows: int) -> Iterator[str | None]:
    if source.table is not None:
        yield from row_ids(source.table.slice(0, rows))
        return
    columns = ["id"] if "id" in source.schema.names else None
    left = rows
    with open_parquet(source.uri) as file:
        for batch in file.iter_batches(
            batch_size=_ID_BATCH_ROWS if columns else 64, columns=columns
        ):
            yield from row_ids(pa.Table.from_batches([batch]).slice(0, left))
            left -= batch.num_rows
            if left <= 0:
                return


class _Ids:
    """Ids seen so far as 64-bit hashes: eight bytes an id, whatever its length."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []

    def add(self, ids: list[str]) -> bytes:
        """Remember ids; returns the hash of this group of ids."""
        whole = hashlib.blake2b(digest_size=16)
        hashes = np.empty(len(ids), dtype=np.uint64)
        for place, name in enumerate(ids):
            data = name.encode("utf-8", "surrogatepass")
            hashes[place] = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
            whole.update(len(data).to_bytes(8, "big") + data)
        self._blocks.append(hashes)
        return whole.digest()

    def repeated(self) -> set[int]:
        """Hashes that occur more than once."""
        if not self._blocks:
            return set()
        values, counts = np.unique(np.concatenate(self._blocks), return_counts=True)
        return {int(value) for value in values[counts > 1]}


def _id_hash(name: str) -> int:
    data = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _refuse_duplicates(sources: list[Source], counts: list[int], repeated: set[int]) -> None:
    """Second pass, only when hashes repeat: find the ids themselves and name some."""
    seen: dict[str, int] = {}
    for source, rows in zip(sources, counts, strict=True):
        for name in _ids(source, rows):
            if name is not None and _id_hash(name) in repeated:
                seen[name] = seen.get(name, 0) + 1
    twice = sorted(name for name, count in seen.items() if count > 1)
    if not twice:
        return
    examples = ", ".join(repr(name) for name in twice[:3])
    has_column = any("id" in source.schema.names for source in sources)
    remedy = (
        "make every id unique"
        if has_column
        else "these rows are equal in every column: remove the copies or add an 'id' column"
    )
    raise UsageError(f"{len(twice)} ids occur more than once, such as {examples}; {remedy}")


def make_plan(
    uri: str, task: TaskSpec, unit_rows: int | None = None, limit: int | None = None
) -> Plan:
    """Find the manifest, check it and cut it into units.

    Args:
        uri: INPUT of the run.
        task: decides which columns are needed.
        unit_rows: rows of a unit; None chooses 32, fewer for small manifests so that stages
            can overlap.
        limit: use the first `limit` rows alone.

    Raises:
        UsageError: nothing found, no rows, a column missing, ids null or repeated.
    """
    sources = [source for source in find_sources(uri) if source.rows]
    if not sources:
        raise UsageError(f"{uri}: the manifest has no rows; nothing to do")
    schema = common_schema(sources)
    check_columns(schema, task)
    counts, left = [], limit if limit is not None else sum(s.rows for s in sources)
    for source in sources:
        counts.append(min(source.rows, max(left, 0)))
        left -= source.rows
    total = sum(counts)
    size = unit_rows or max(1, min(_LARGEST_UNIT_ROWS, -(-total // _SMALLEST_RUN_UNITS)))
    units: list[UnitSpec] = []
    ids = _Ids()
    for source, rows in zip(sources, counts, strict=True):
        units.extend(_cut(source, rows, size, len(units), ids))
    repeated = ids.repeated()
    if repeated:
        _refuse_duplicates(sources, counts, repeated)
    return Plan(units, schema, total, [source.uri for source in sources])


def _cut(source: Source, rows: int, size: int, first: int, ids: _Ids) -> Iterator[UnitSpec]:
    """Units of one source; a unit never spans two sources."""
    names = _ids(source, rows)
    for number, start in enumerate(range(0, rows, size), first):
        stop = min(start + size, rows)
        group: list[str] = []
        for row in range(start, stop):
            name = next(names)
            if name is None or name == "":
                raise UsageError(
                    f"{source.uri}: row {row} has no id; fill the 'id' column or drop it"
                )
            group.append(name)
        facts = f"{source.uri}\x00{source.identity}\x00{start}\x00{stop}".encode()
        print_of_unit = hashlib.blake2b(facts + ids.add(group), digest_size=16).hexdigest()
        rows_bytes = b""
        if source.table is not None:
            rows_bytes = to_stream(source.table.slice(start, stop - start))
        where = source.uri if source.table is None else ""
        yield UnitSpec(number, where, start, stop, source.base, print_of_unit, rows_bytes)


def travelling_schema(schema: pa.Schema) -> pa.Schema:
    """The columns that travel to the results: all but `id` and our own fault marker."""
    kept = [field for field in schema if field.name not in ("id", FAULT_COLUMN)]
    return pa.schema(kept)
