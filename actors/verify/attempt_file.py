"""Rows that wait to be made again: what was made of them so far, in a file of OUTPUT.

One is written with every unit some rows of which fail a job's rule, before the unit is committed,
and goes when all of these rows have got further. It holds their keys, so whatever is done next
finds them: a row is never made again by an attempt that is there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.batch.names import ATTEMPT_NAME, ATTEMPTS_FOLDER
from actors.batch.schema import FAILED_TYPE
from actors.batch.unit import KEY_BYTES, to_stream
from actors.storage.object_store import Storage

_NAME = re.compile(ATTEMPT_NAME, re.ASCII)
_KEY, _ATTEMPTS, _KEPT, _RANK = "key", "attempts", "kept", "rank"
_FAILED, _SOUNDS, _RESULT = "failed", "sounds", "result"


@dataclass(frozen=True)
class Waiting:
    """A row that is to be made again.

    Attributes:
        key: of the row.
        attempts: that were made.
        failed: these, as `failed_attempts` tells of them.
        kept: number of the best one; None where none came to anything.
        rank: of that one.
        result: place of its row in a table of results; None where there is none.
        sounds: its audio files, in the order of the task's sounds.
    """

    key: bytes
    attempts: int
    failed: list[dict[str, Any]]
    kept: int | None = None
    rank: float | None = None
    result: int | None = None
    sounds: Sequence[bytes] = ()


def write_waiting(storage: Storage, unit: int, rows: Sequence[Waiting], results: pa.Table) -> str:
    """Store rows; returns the path, which a hash of the contents is part of.

    Args:
        storage: of OUTPUT.
        unit: whose rows they are.
        rows: that are to be made again.
        results: what `Waiting.result` is a place in.
    """
    chosen = pa.array([row.result for row in rows], pa.int64())
    table = pa.table(
        {
            _KEY: pa.array([row.key for row in rows], pa.binary()),
            _ATTEMPTS: pa.array([row.attempts for row in rows], pa.int32()),
            _KEPT: pa.array([row.kept for row in rows], pa.int32()),
            _RANK: pa.array([row.rank for row in rows], pa.float64()),
            _FAILED: pa.array([row.failed for row in rows], FAILED_TYPE),
            _SOUNDS: pa.array([list(row.sounds) for row in rows], pa.list_(pa.large_binary())),
            _RESULT: _as_structs(results).take(chosen),
        }
    )
    data = to_stream(table, "zstd")
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    path = f"{ATTEMPTS_FOLDER}/{unit:08d}-{digest}.arrow"
    storage.put(path, data)
    return path


def _as_structs(results: pa.Table) -> pa.Array:
    columns = [results.column(name).combine_chunks() for name in results.column_names]
    columns = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    return pa.StructArray.from_arrays(columns, fields=list(results.schema))


def read_waiting(storage: Storage, path: str) -> tuple[list[Waiting], pa.Table]:
    """The rows of a file, and the table that `Waiting.result` is a place in.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it is not what was written, or storage did not answer.
    """
    table = _read(storage, path)
    structs = table.column(_RESULT).combine_chunks()
    results = pa.Table.from_arrays(structs.flatten(), schema=pa.schema(list(structs.type)))
    is_there = structs.is_valid().to_pylist()
    facts = table.drop_columns([_RESULT]).to_pylist()
    rows = [
        Waiting(**{**fact, _RESULT: place if is_there[place] else None})
        for place, fact in enumerate(facts)
    ]
    return rows, results


def attempts_made(storage: Storage) -> Iterator[tuple[str, dict[bytes, int]]]:
    """Files of OUTPUT, each with how often its rows were made, by their keys.

    One that cannot be understood is passed over: its rows' attempts are made again.
    """
    for path in sorted(storage.list(ATTEMPTS_FOLDER)):
        if not _NAME.fullmatch(path) or storage.is_link(path):
            continue
        try:
            table = _read(storage, path).select([_KEY, _ATTEMPTS])
            found = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
        except (OSError, ValueError, KeyError):
            continue
        if all(isinstance(n, int) and len(key or b"") == KEY_BYTES for key, n in found.items()):
            yield path, found


def _read(storage: Storage, path: str) -> pa.Table:
    data = storage.read(path)
    if hashlib.blake2b(data, digest_size=8).hexdigest() not in path:
        raise OSError(f"{path} is not what was written; remove it, and its rows are done anew")
    return pa.ipc.open_stream(data).read_all()
