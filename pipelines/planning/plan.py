"""Cutting a manifest into units, and refusing before any cost what cannot be run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from actors.batch.names import AUDIO_COLUMNS, FAULT_COLUMN
from actors.batch.unit import UnitSpec, to_stream, unit_fingerprint
from actors.columnar.column_names import ID
from actors.columnar.value_bounds import TOO_LARGE
from actors.prefetch.in_processes import Readers
from pipelines.config.input_settings import UNIT_BYTES, InputRules, ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.naming import named_sources
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.aliases import needs_of, serving
from pipelines.manifest.tables.noticed import LeftOut
from pipelines.manifest.tables.options import NEW_IDS, IdsBefore
from pipelines.manifest.tables.scan import Scan
from pipelines.planning.file_stamps import FileStamps
from pipelines.planning.keys.held_keys import HeldKeys
from pipelines.planning.keys.indexed_rows import IndexedRows, SeenIds
from pipelines.planning.named_addresses import AddressScan
from pipelines.planning.read_columns import channel_notes, columns_read, unread_notes
from pipelines.planning.repeated_ids import refuse_repeated
from pipelines.planning.row_index import KeptRows, unread_identity
from pipelines.planning.sources_index import indexed_sources
from pipelines.planning.units.cutting import unit_bounds, units_of
from uniaudio2.shown import listed, quoted
from uniaudio2.tasks.table import TaskSpec

_PACKED_BYTES = 4096  # packing less saves nothing
_MARKS = {FAULT_COLUMN, TOO_LARGE}


@dataclass(frozen=True)
class Plan:
    """The units of a run, before any work.

    Attributes:
        units: addresses of the rows, in order.
        schema: columns of the whole manifest.
        rows: number of rows.
        sources: the files that were found.
        notes: what a user should know of INPUT before it is run, a line each.
        left_out: files of INPUT that give no row, by why.
        columns_read: those of the columns that the task reads.
        ids_before: how rows got their ids, which later runs give them, too.
        kept: what of it is to be kept for the next run.
        first_files: paths of the first local files that rows name, those that are there.
        has_channel_ids: some id is that of another one's channel, see `channel_rows`.
        later_files: files of INPUT that are in none of the units yet.
    """

    units: list[UnitSpec]
    schema: pa.Schema
    rows: int
    sources: list[str]
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    columns_read: tuple[str, ...] = ()
    first_files: tuple[str, ...] = ()
    has_channel_ids: bool = False
    ids_before: IdsBefore = NEW_IDS
    later_files: int = 0
    kept: KeptRows | None = field(default=None, compare=False, repr=False)


def check_columns(
    schema: pa.Schema, task: TaskSpec, doubts: Mapping[str, str] | None = None
) -> None:
    """Every column that the task needs is there, or one that serves for it.

    Args:
        schema: columns of the manifest.
        task: what is needed.
        doubts: why no column of another name serves, by the column that is needed.

    Raises:
        UsageError: names what is missing and what is there.
    """
    names = set(schema.names) - _MARKS
    for column in task.columns:
        others = serving(column, task)
        if not names & {column, *others}:
            also = f" (or {', '.join(others)})" if others else ""
            why = [doubt for name, doubt in (doubts or {}).items() if name in (column, *others)]
            raise UsageError(
                f"column {column!r}{also} is missing; task {task.name} needs "
                f"{', '.join(task.columns)}, the manifest has {listed(sorted(names)) or 'none'}; "
                + (why[0] if why else f"--map {column}=COLUMN names the one that is it")
            )


def idle_stages(task: TaskSpec, schema: pa.Schema) -> tuple[str, ...]:
    """Stages that have nothing to do: where no row can name audio, none is encoded."""
    if task.voiced:
        return ()
    heard = {*AUDIO_COLUMNS, *task.other_audio}
    return () if heard & set(schema.names) else ("encode",)


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
                f"{source.uri}: column {quoted(twice)} occurs more than once; "
                "give each its own name"
            )
    try:
        return pa.unify_schemas(
            [s.schema.remove_metadata() for s in sources], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as fault:
        raise UsageError(
            f"the files of the manifest disagree: {fault}; give every column one type"
        ) from fault


def _first_fault(sources: list[Source]) -> str:
    """The fault of the first row of a manifest none of whose rows are good."""
    tables = [source.table for source in sources if source.table is not None]
    faults = [t[FAULT_COLUMN].drop_null() for t in tables if FAULT_COLUMN in t.column_names]
    return next(str(column[0]) for column in faults if len(column))


def make_plan(
    uri: str,
    task: TaskSpec,
    unit_rows: int | None = None,
    limit: int | None = None,
    rules: InputRules | None = None,
    manifest: ManifestConfig | None = None,
    ids_before: IdsBefore = NEW_IDS,
    unit_bytes: int = UNIT_BYTES,
    kept: KeptRows | None = None,
    files: int | None = None,
    readers: Readers | None = None,
) -> Plan:
    """Find the manifest, check it and cut it into units.

    Args:
        uri: INPUT of the run.
        task: decides which columns are needed.
        unit_rows: rows of a unit; None chooses, see `unit_size`, and fewer where columns tell of
            more than 20 minutes of audio.
        limit: use the first `limit` rows alone. Of a text manifest or tar no more is read than
            they and its first million characters or two million cells, so what
            columns there are does not depend on the rest.
        rules: what the input may name, and where its links may lead.
        manifest: how the input is read.
        ids_before: how rows of OUTPUT got their ids.
        unit_bytes: most bytes of sound that a unit's rows hold, or name without telling its length,
            see `UnitBounds`.
        kept: what earlier plans kept of rows, see `KeptPlan`; those are not read again.
        files: of more than twice as many Parquet files plan the first `files` alone, of tars a
            16th of it, unless they have a fault that the others may not have.
        readers: processes that read where there are very many files; None leaves it to threads.

    Raises:
        UsageError: nothing found, no rows, a column missing, ids null or repeated, addresses that
            may not be named.
    """
    rules = rules or InputRules()
    manifest = manifest or ManifestConfig()
    scan = manifest.scan(rules, limit)
    scan.ids_before, scan.known, scan.files, scan.readers = ids_before, kept, files, readers
    try:
        return _planned(uri, task, scan, unit_rows, unit_bytes, rules, manifest, kept)
    except UsageError:
        if not scan.later:
            raise
    return make_plan(
        uri, task, unit_rows, limit, rules, manifest, ids_before, unit_bytes, kept, readers=readers
    )


def _planned(
    uri: str,
    task: TaskSpec,
    scan: Scan,
    unit_rows: int | None,
    unit_bytes: int,
    rules: InputRules,
    manifest: ManifestConfig,
    kept: KeptRows | None,
) -> Plan:
    """The plan of what a scan takes."""
    limit = scan.rows
    sources, schema = _checked_sources(uri, task, scan)
    counts = _counts(sources, limit)
    total = sum(counts)
    expected = total * (len(sources) + scan.later) // len(sources)
    bounds = unit_bounds(task, expected, unit_rows, unit_bytes, scan.ids_before.former)
    units: list[UnitSpec] = []
    held = HeldKeys()
    seen, named = SeenIds(), AddressScan(task, rules.allow)
    stamps = FileStamps(task, rules.allow, manifest.check_files)
    scanned = named if rules.refused == "stop" else None
    indexed = indexed_sources(sources, counts, scanned, stamps, kept, scan.readers)
    for source, rows in zip(sources, indexed, strict=True):
        groups = units_of(map(seen.noted, rows), bounds)
        units.extend(_cut(source, groups, len(units), held))
    named.check(uri)
    refuse_repeated(sources, counts, seen, manifest.ids_from or ID)
    noticed = scan.noticed
    return Plan(
        units,
        schema,
        total,
        [source.uri for source in sources],
        (
            *noticed.notes(),
            *unread_notes(schema.names, task),
            *channel_notes(schema, task),
        ),
        tuple(noticed.left_out),
        columns_read(schema.names, task),
        named.first_files,
        seen.have_channels(),
        scan.ids_before,
        scan.later,
        kept,
    )


def _checked_sources(uri: str, task: TaskSpec, scan: Scan) -> tuple[list[Source], pa.Schema]:
    """The sources that a scan takes, by the names that tasks read, and the columns of them all."""
    sources = [source for source in find_sources(uri, scan) if source.rows]
    if not sources:
        raise UsageError(f"{uri}: the manifest has no rows; nothing to do")
    sources = named_sources(sources, uri, needs_of(task), scan)
    schema = common_schema(sources)
    if FAULT_COLUMN in schema.names and not set(schema.names) - {"id", *_MARKS}:
        raise UsageError(f"{uri}: no row can be understood; the first: {_first_fault(sources)}")
    check_columns(schema, task, scan.noticed.doubts)
    return sources, schema


def _counts(sources: list[Source], limit: int | None) -> list[int]:
    """How many rows of each source are taken."""
    counts, left = [], limit if limit is not None else sum(s.rows for s in sources)
    for source in sources:
        counts.append(min(source.rows, max(left, 0)))
        left -= source.rows
    return counts


def _cut(
    source: Source, groups: Iterator[IndexedRows], first: int, held: HeldKeys
) -> Iterator[UnitSpec]:
    """Units of one source; no unit has rows of two sources."""
    start = 0
    origin = f"{source.uri}\x00{unread_identity(source)}".encode()
    origin += f"\x00{source.audio_base}".encode() if source.audio_base else b""
    for number, group in enumerate(groups, first):
        stop = start + len(group)
        former = ""
        if group.former:
            told = origin + group.former.hex().encode()
            former = hashlib.blake2b(told, digest_size=16).hexdigest()
        keys = group.keys.tobytes()
        where, data = source.uri, b""
        if source.table is not None:
            rows_of_unit = source.table.slice(start, len(group))
            is_large = rows_of_unit.nbytes > _PACKED_BYTES
            where, data = "", to_stream(rows_of_unit, "zstd" if is_large else None)
        tar = source.uri if source.pinned else ""
        yield UnitSpec(
            number, where, start, stop, source.base, unit_fingerprint(keys), data,
            tar=tar, constants=source.constants, names="" if data else source.names,
            keys=held.hold(keys), former=former,
        )  # fmt: skip
        start = stop


def passthrough_schema(schema: pa.Schema) -> pa.Schema:
    """The columns that travel to the results: all but `id` and our own marks."""
    kept = [field for field in schema if field.name not in ("id", *_MARKS)]
    return pa.schema(kept)
