"""The next state of a committed unit: without some of its rows, and with what came of others.

A unit whose rows were done again, or went from INPUT, gets a new commit record: its parts without
these rows, and the new ones. That record alone makes both visible, so that every row is in data or
in errors, once, whenever this is killed.
"""

from __future__ import annotations

import posixpath
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.channel_rows import whole_id
from actors.batch.error_rows import ERRORS_SCHEMA
from actors.batch.names import AUDIO_PATH, DURATION_S, INPUT_DURATION_S
from actors.batch.receipt import file_mark
from actors.batch.schema import count_marks
from actors.stages.part_file import Units, parquet_bytes, store
from actors.storage.audio_files import audio_objects, read_members
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed
from pipelines.planning.keys.row_keys import KEY_BYTES
from pipelines.run_state.commit_record import FORMAT_VERSION, Commit, shown_keys
from pipelines.run_state.parts import (
    part_bytes,
    read_errors_part,
    read_part,
    table_of,
    units_merged,
)

IsOut = Callable[[str], bool]
_TAR = ".tar"


@dataclass
class Kept:
    """What stays of a unit's data and audio.

    Attributes:
        data: paths of its data parts.
        audio: folders or tars of its audio.
        files: marks of its objects by path.
        ok: rows that went.
        input_s: seconds of audio that they had read.
        output_s: seconds of audio written for them.
        marks: of these rows.
    """

    data: list[str]
    audio: list[str]
    files: dict[str, list[int | str]]
    ok: int = 0
    input_s: float = 0.0
    output_s: float = 0.0
    marks: Counter[str] = field(default_factory=Counter)


def errors_of(storage: Storage, paths: Iterable[str]) -> pa.Table:
    """The rows of errors parts."""
    parts = [read_errors_part(storage, path) for path in paths]
    return pa.concat_tables([ERRORS_SCHEMA.empty_table(), *parts])


def split(table: pa.Table, is_out: IsOut) -> tuple[pa.Table, pa.Table]:
    """The rows of a table whose ids are out, and the others."""
    chosen = pa.array([is_out(name) for name in table["id"].to_pylist()], pa.bool_())
    return table.filter(chosen), table.filter(pc.invert(chosen))


def taken_over(before: Commit, after: Commit) -> Commit:
    """The record that holds in the place of a unit's last one when all its rows were done again.

    Args:
        before: the record that holds.
        after: what came of its rows.
    """
    return replace(
        after,
        unit=before.unit,
        generation=before.generation + 1,
        source="",
        start=0,
        stop=0,
        origins=after.sources,
        replaces=before.replaces,
    )


def next_state(
    storage: Storage,
    before: Commit,
    is_out: IsOut,
    after: Commit | None,
    keys: bytes,
    adds_attempts: bool = False,
) -> Commit:
    """The record that holds in the place of a unit's last one; its new parts are written.

    Args:
        storage: of OUTPUT.
        before: the record that holds.
        is_out: tells by its id whether a row leaves it.
        after: what came of rows that were done again; None where they only leave.
        keys: of all input rows that it has then, one behind the other.
        adds_attempts: rows that fail again keep count of how often they were tried.

    Raises:
        RunFailed: rows are missing, or there are some that nobody asked for.
    """
    out, left = split(errors_of(storage, before.error_parts), is_out)
    failed = errors_of(storage, after.error_parts if after else ())
    if adds_attempts:
        failed = _with_attempts(failed, out)
    errors = pa.concat_tables([left, failed])
    kept = _without(storage, before, is_out)
    files = {**kept.files, **(after.files if after else {})}
    for path in (*before.error_parts, *(after.error_parts if after else ())):
        files.pop(path, None)
    parts: tuple[str, ...] = ()
    if errors.num_rows:
        parts = (f"errors/part-{_place(before.unit)}.parquet",)
        files[parts[0]] = store(storage, parts[0], parquet_bytes(errors))
    ok, count = before.ok - kept.ok + (after.ok if after else 0), errors.num_rows
    rows = len(keys) // KEY_BYTES
    _check_count(before, after, ok + count, rows)
    channels = before.added_rows + (after.added_rows if after else 0)
    return replace(
        before,
        ok=ok,
        errors=count,
        data=(*kept.data, *(after.data if after else ())),
        error_parts=parts,
        audio=(*kept.audio, *(after.audio if after else ())),
        input_s=max(before.input_s - kept.input_s, 0.0) + (after.input_s if after else 0.0),
        output_s=max(before.output_s - kept.output_s, 0.0) + (after.output_s if after else 0.0),
        kinds=dict(Counter(errors["kind"].to_pylist())),
        files=files,
        stages=(*before.stages, *(after.stages if after else ())),
        generation=before.generation + 1,
        marks=dict(Counter(before.marks) - kept.marks + Counter(after.marks if after else {})),
        added_rows=max(ok + count - rows, 0) if rows else channels,
        rows=(),
        keys=shown_keys(keys),
        stop=before.sources[before.unit][2] if before.source else 0,
        origins={**before.origins, **(after.sources if after else {})},
        format_version=FORMAT_VERSION,
    )


def _check_count(before: Commit, after: Commit | None, found: int, rows: int) -> None:
    """Refuse a state that has fewer rows than its unit, or more where channels are no rows."""
    has_channels = before.added_rows or (after is not None and after.added_rows)
    if rows and (found < rows or (found > rows and not has_channels)):
        raise RunFailed(
            f"unit {before.unit}: its parts and what was done again hold {found} rows in the place "
            f"of {rows}; `uniaudio2 status --verify` tells whether a part is not what was written"
        )


def _place(unit: int) -> str:
    """A name that no other part has."""
    return f"{unit:08d}-{uuid.uuid4().hex[:8]}"


def _without(storage: Storage, before: Commit, is_out: IsOut) -> Kept:
    """Data and audio of a unit without some rows; parts that hold none of them stay as they are."""
    kept = Kept([], list(before.audio), dict(before.files))
    for path in before.data:
        names = read_part(storage, path, ["id"])["id"].to_pylist()
        if not any(map(is_out, names)):
            kept.data.append(path)
            continue
        data = part_bytes(storage, path)
        own = before.files.get(path) == file_mark(data)
        out, left = split(table_of(data, path, own=own), is_out)
        kept.files.pop(path, None)
        _count(kept, before, out)
        left = _without_sounds(storage, before.unit, kept, out, left)
        if left.num_rows:
            place = f"data/part-{_place(before.unit)}.parquet"
            of = units_merged(data) or _unit_named(path, before.unit, len(names))
            units = _units_left(of, [not is_out(name) for name in names])
            kept.files[place] = store(storage, place, parquet_bytes(left, units))
            kept.data.append(place)
    return kept


def _unit_named(path: str, unit: int, rows: int) -> list[tuple[int, int]]:
    """The unit that all rows of a part are of, where its name tells of another than the record."""
    number = int(posixpath.basename(path).split("-")[1])
    return [] if number == unit else [(number, rows)]


def _units_left(units: Units, stay: Sequence[bool]) -> Units:
    """The units of those rows of a merged part that stay."""
    if not units:
        return ()
    numbers = np.repeat(*np.array(units, np.int64).reshape(-1, 2).T)[np.array(stay)]
    ends = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    return [(int(numbers[a]), b - a) for a, b in pairwise(ends)] if len(numbers) else []


def _count(kept: Kept, before: Commit, out: pa.Table) -> None:
    """Take rows that go out of a unit's sums."""
    kept.ok += out.num_rows
    if before.input_s and pa.field(INPUT_DURATION_S, pa.float64()) in list(out.schema):
        kept.input_s += sum(filter(None, out[INPUT_DURATION_S].to_pylist()))
    kept.marks.update(count_marks(out, before.marks))


def _sound_columns(table: pa.Table) -> list[str]:
    """Columns that name sounds, each with one of their seconds, of the types that runs write."""
    kinds = {field.name: field.type for field in table.schema}
    return [
        name
        for name, kind in kinds.items()
        if name == AUDIO_PATH or name.startswith(f"{AUDIO_PATH}_")
        if pa.types.is_string(kind)
        and kinds.get(f"{DURATION_S}{name.removeprefix(AUDIO_PATH)}") == pa.float64()
    ]


def _without_sounds(
    storage: Storage, unit: int, kept: Kept, out: pa.Table, left: pa.Table
) -> pa.Table:
    """Let the sounds of rows go with them; returns the other rows, whose tar may be another."""
    for name in _sound_columns(out):
        seconds = out[f"{DURATION_S}{name.removeprefix(AUDIO_PATH)}"].to_pylist()
        for path, duration_s in zip(out[name].to_pylist(), seconds, strict=True):
            tar, inside, _ = (path or "").partition(f"{_TAR}/")
            if (tar + _TAR if inside else path) in kept.files:
                kept.output_s += duration_s or 0.0
                if not inside:
                    del kept.files[path]
    folders = {posixpath.dirname(path) for path in kept.files}
    tars = {path for path in kept.audio if path.endswith(_TAR)}
    gone = _paths(out)
    for tar in sorted({t for t in tars if any(path.startswith(f"{t}/") for path in gone)}):
        left = _other_tar(storage, unit, kept, tar, left)
    kept.audio = [path for path in kept.audio if path in kept.files or path in folders]
    return left


def _paths(table: pa.Table) -> set[str]:
    return {path for name in _sound_columns(table) for path in table[name].to_pylist() if path}


def _other_tar(storage: Storage, unit: int, kept: Kept, tar: str, left: pa.Table) -> pa.Table:
    """Write a tar of those of its sounds that some rows still name, and name that one in them."""
    wanted = {path.removeprefix(f"{tar}/") for path in _paths(left) if path.startswith(f"{tar}/")}
    kept.files.pop(tar, None)
    if not wanted:
        return left
    members = read_members(storage, tar)
    sounds = {name: data for name, data in members.items() if name in wanted}
    folder, objects = audio_objects(_place(unit), sounds, "tar")
    for path, data in objects.items():
        kept.files[path] = store(storage, path, data)
        kept.audio.append(path)
    for name in _sound_columns(left):
        paths = [
            folder + path.removeprefix(tar) if path and path.startswith(f"{tar}/") else path
            for path in left[name].to_pylist()
        ]
        left = left.set_column(left.column_names.index(name), name, pa.array(paths, pa.string()))
    return left


def _with_attempts(failed: pa.Table, before: pa.Table) -> pa.Table:
    """Errors rows with the attempts made so far added to theirs."""
    earlier = dict(zip(before["id"].to_pylist(), before["attempts"].to_pylist(), strict=True))
    counts = [
        attempts + earlier.get(name, earlier.get(whole_id(name), 0))
        for name, attempts in zip(
            failed["id"].to_pylist(), failed["attempts"].to_pylist(), strict=True
        )
    ]
    place = failed.column_names.index("attempts")
    return failed.set_column(place, "attempts", pa.array(counts, pa.int32()))
