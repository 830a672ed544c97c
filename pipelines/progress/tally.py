"""What a run has done so far, as counters that never fall: the driver adds, who watches reads."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import get_args

from actors.batch.receipt import FaultKind
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.counts import Counts

FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)
COMMIT_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper bounds of the classes in which times of commits are counted."""


@dataclass(frozen=True)
class Totals:
    """Sums of a run at a moment.

    Attributes:
        rows: that were committed, by outcome, ``ok`` or ``error``.
        errors: rows in errors, by kind.
        units: that were committed.
        input_s: seconds of input audio in the good rows.
        output_s: seconds of audio written.
        written_bytes: of committed files.
        busy_s: seconds of work, by stage.
        stage_rows: good rows that came out, by stage.
        stage_failed: rows given up, by stage.
        stage_calls: calls on a unit or on a row alone, by stage.
        faults: calls on a unit, or on a row alone, that came to nothing, by kind of fault.
        retried: units that were tried again.
        again: rows that broke the rule of `verify` and are made again.
        commits: commit records by the class of their time, see `COMMIT_BOUNDS_S`; the last class
            has no bound.
        commits_s: seconds that these took.
        committed_at: time of the last one, in seconds since 1970; 0 before the first.
    """

    rows: Counter[str] = field(default_factory=lambda: Counter(ok=0, error=0))
    errors: Counter[str] = field(default_factory=Counter)
    units: int = 0
    input_s: float = 0.0
    output_s: float = 0.0
    written_bytes: int = 0
    busy_s: dict[str, float] = field(default_factory=dict)
    stage_rows: Counter[str] = field(default_factory=Counter)
    stage_failed: Counter[str] = field(default_factory=Counter)
    stage_calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(FAULTS, 0)))
    retried: int = 0
    again: int = 0
    commits: tuple[int, ...] = (0,) * (len(COMMIT_BOUNDS_S) + 1)
    commits_s: float = 0.0
    committed_at: float = 0.0


class Tally:
    """Adds up what a run does, unit by unit; safe to read from another thread.

    Rows, errors, units and seconds of audio start at what OUTPUT holds when the work begins, so
    that they go on over a resume; everything else starts at 0 with the run. A row that is done
    again counts again: nothing is taken out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = Totals()
        self._has_begun = False

    def totals(self) -> Totals:
        """The sums now; they do not change any more."""
        with self._lock:
            now = self._totals
            return replace(
                now, rows=now.rows.copy(), errors=now.errors.copy(), busy_s=dict(now.busy_s),
                stage_rows=now.stage_rows.copy(), stage_failed=now.stage_failed.copy(),
                stage_calls=now.stage_calls.copy(), faults=now.faults.copy(),
            )  # fmt: skip

    def begin(self, counts: Counts) -> None:
        """The work begins: count what earlier runs did, once."""
        if self._has_begun:
            return
        self._has_begun = True
        with self._lock:
            self._add_rows(counts.ok, counts.errors, counts.kinds)
            self._set(
                units=counts.units_done, input_s=counts.input_s, output_s=counts.output_s,
            )  # fmt: skip

    def add(self, commit: Commit) -> None:
        """Count a unit that is committed."""
        written_bytes = sum(int(size) for size, _ in commit.files.values())
        with self._lock:
            now = self._totals
            self._add_rows(commit.ok, commit.errors, Counter(commit.kinds))
            for call in commit.stages:
                now.busy_s[call.stage] = now.busy_s.get(call.stage, 0.0) + call.busy_s
                now.stage_rows[call.stage] += call.rows
                now.stage_failed[call.stage] += call.failed
                now.stage_calls[call.stage] += 1
            self._set(
                units=now.units + commit.units,
                input_s=now.input_s + commit.input_s,
                output_s=now.output_s + commit.output_s,
                written_bytes=now.written_bytes + written_bytes,
            )

    def add_fault(self, kind: str) -> None:
        """Count a call that came to nothing."""
        with self._lock:
            self._totals.faults[kind] += 1

    def add_retries(self, units: int) -> None:
        """Count units that are tried again."""
        with self._lock:
            self._set(retried=self._totals.retried + units)

    def add_again(self, rows: int) -> None:
        """Count rows that are made again because of a rule."""
        with self._lock:
            self._set(again=self._totals.again + rows)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Time the writing of a commit record; one that fails is not counted."""
        begun = time.monotonic()
        yield
        took_s = time.monotonic() - begun
        with self._lock:
            commits = list(self._totals.commits)
            commits[bisect_left(COMMIT_BOUNDS_S, took_s)] += 1
            self._set(
                commits=tuple(commits),
                commits_s=self._totals.commits_s + took_s,
                committed_at=time.time(),
            )

    def _add_rows(self, ok: int, errors: int, kinds: Counter[str]) -> None:
        self._totals.rows.update(ok=ok, error=errors)
        self._totals.errors.update(kinds)

    def _set(self, **sums: int | float | tuple[int, ...]) -> None:
        self._totals = replace(self._totals, **sums)  # type: ignore[arg-type]  # by their names
