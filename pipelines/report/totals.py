"""Sums over the commit records of a run, and what the report may read besides."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.report.stages import StageLog
from pipelines.run_state.commit_log import CommitLog


@dataclass(frozen=True)
class Totals:
    """Sums over all commit records."""

    ok: int
    errors: int
    units: int
    input_s: float
    output_s: float
    kinds: Counter[str]
    data: list[str]
    error_parts: list[str]
    addresses: dict[int, tuple[str, int, int]]
    trusted: dict[str, Sequence[int | str]]
    sizes: dict[str, int]
    added_rows: int = 0
    marks: Counter[str] = field(default_factory=Counter)


def read_log(commit_log: CommitLog, asked: bool) -> tuple[Totals, StageLog]:
    """One walk over the commit records, none of which is kept.

    Args:
        commit_log: of OUTPUT.
        asked: the user wants input of records to be read that are not sealed as the user's, too.
    """
    trusted: dict[str, Sequence[int | str]] = {}
    sizes: dict[str, int] = {}
    marks = Counter[str]()
    log, kinds, data, error_parts = StageLog(), Counter[str](), list[str](), list[str]()
    addresses: dict[int, tuple[str, int, int]] = {}
    ok = errors = units = added = 0
    input_s = output_s = 0.0
    for commit in commit_log.each_commit():
        log.add(commit)
        kinds.update(commit.kinds)
        marks.update(commit.marks)
        data.extend(commit.data)
        error_parts.extend(commit.error_parts)
        for path in (*commit.data, *commit.error_parts):
            sizes[path] = int(commit.files.get(path, (0,))[0])
        own = commit_log.owns_commit(commit)
        if own:
            trusted.update((path, commit.files.get(path, ())) for path in commit.data)
        if own or asked:
            for number, (source, start, stop) in commit.sources.items():
                addresses[number] = (sys.intern(source), start, stop)
        ok, errors, units = ok + commit.ok, errors + commit.errors, units + commit.units
        input_s, output_s = input_s + commit.input_s, output_s + commit.output_s
        added += commit.added_rows
    totals = Totals(
        ok, errors, units, input_s, output_s, kinds, data, error_parts, addresses, trusted, sizes,
        added, marks,
    )  # fmt: skip
    return totals, log
