"""``uniaudio2 dedup``: which results of a run are there twice, as a table beside OUTPUT."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.batch.names import REASON_CODES
from actors.batch.receipt import file_mark
from actors.batch.table import read_codes
from actors.stages.part_file import parquet_bytes
from actors.storage.object_store import Storage
from pipelines.dedup.duplicates import Duplicates
from pipelines.errors import UsageError
from pipelines.run_state.commit_log import CommitLog, open_output
from pipelines.run_state.parts import part_bytes, tables_of

THRESHOLD, RECALL, CODEBOOKS = 0.5, 0.99, 1
SUFFIX = ".parquet"


@dataclass(frozen=True)
class DedupResult:
    """What was found.

    Attributes:
        rows: results that were compared.
        without_codes: results that have none, and were not.
        exact: those whose reasoning codes are all equal to those of one that stays.
        near: those that are similar to one that stays.
        unreadable: results whose codes are not as a run writes them, and were not compared.
    """

    rows: int
    without_codes: int
    exact: int
    near: int
    unreadable: int = 0


def dedup_run(
    output: str,
    target: str,
    threshold: float = THRESHOLD,
    recall: float = RECALL,
    codebooks: int = CODEBOOKS,
) -> DedupResult:
    """Find results of a run whose sounds are the same, or nearly so, by their reasoning codes.

    Of all that are alike the one with the least id stays; the others become rows of a Parquet file:
    ``id``, ``duplicate_of``, ``kind`` (``exact`` or ``near``) and ``similarity``, the Jaccard
    similarity of their 3-grams of codes. A candidate is compared as it is, so no row is there that
    is less similar. Memory takes some hundred bytes a row; the rest is in a temporary file.

    Args:
        output: OUTPUT of a run that keeps reasoning codes; a local path or URL.
        target: the file to write, whose name ends in ``.parquet``; a local path or URL.
        threshold: similarity from which two are near duplicates, above 0, at most 1.
        recall: share of pairs at the threshold that is found, below 1; of more similar ones more
            are.
        codebooks: how many of the first codebooks (1 to 8) tell frames apart; with more, what was
            changed a little is less similar.

    Raises:
        UsageError: no such run, it has no codes, or a value is out of its range.
        RunFailed: a part is not what a run writes.
        OSError: storage did not answer.
    """
    _check(target, threshold, recall, codebooks)
    commit_log, _ = open_output(output)
    try:
        finder = Duplicates(threshold, recall, codebooks)
    except ValueError as fault:
        raise UsageError(str(fault)) from fault
    rows = without = unreadable = 0
    for table in _tables(commit_log):
        found_codes = [_codes(table, row) for row in range(table.num_rows)]
        codes = {row: one for row, one in enumerate(found_codes) if one is not None and len(one)}
        names = table["id"].take(pa.array(codes, pa.int64())).to_pylist()
        finder.add(names, list(codes.values()))
        rows += len(codes)
        unreadable += sum(one is None for one in found_codes)
        without += sum(one is not None and not len(one) for one in found_codes)
    if not rows:
        raise UsageError(
            f"{output} has no reasoning codes; run tokenize, or the task with `--set keep=tokens`"
        )
    found = list(finder.find())
    folder, name = posixpath.split(target)
    Storage(folder or ".").put(name, parquet_bytes(finder.table(found)))
    exact = sum(one.is_exact for one in found)
    return DedupResult(rows, without, exact, len(found) - exact, unreadable)


def _codes(table: pa.Table, row: int) -> npt.NDArray[np.int64] | None:
    """Reasoning codes of a result, ``[T, 8]``; None where they are not what a run writes."""
    try:
        codes: npt.NDArray[np.int64] = read_codes(table, row).reason.numpy()
    except (ValueError, TypeError, AttributeError):
        return None
    return codes


def _check(target: str, threshold: float, recall: float, codebooks: int) -> None:
    if not target.endswith(SUFFIX):
        raise UsageError(f"{target}: the table of duplicates is Parquet; end its name in {SUFFIX}")
    for name, value, holds, rule in (
        ("threshold", threshold, 0.0 < threshold <= 1.0, "above 0 and at most 1"),
        ("recall", recall, 0.0 < recall < 1.0, "above 0 and below 1"),
        ("codebooks", codebooks, 1 <= codebooks <= 8, "from 1 to 8"),
    ):
        if not holds:
            raise UsageError(f"{name} {value:g}: give a number {rule}")


def _tables(commit_log: CommitLog) -> Iterator[pa.Table]:
    """Ids and codes of all results."""
    for commit in commit_log.each_commit():
        for path in commit.data:
            data = part_bytes(commit_log.storage, path)
            own = commit_log.owns_commit(commit) and commit.files.get(path) == file_mark(data)
            yield from tables_of(data, path, {"id", REASON_CODES}, own=own)
