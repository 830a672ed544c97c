"""Which rows of a unit are done, by a rule, and which are to be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from actors.batch.error_rows import ERRORS_SCHEMA, input_json
from actors.batch.names import (
    ATTEMPT,
    ATTEMPTS,
    FAILED_ATTEMPTS,
    ID,
    INPUT,
    SCORE_REASONS,
    UNIT,
    VERIFIED,
    VERIFY_REASON,
)
from actors.batch.schema import FAILED_TYPE
from actors.batch.table import job_seeds, set_column
from actors.columnar.cells import shown_value
from actors.storage.object_store import Storage
from actors.verify.attempt_file import Waiting, read_waiting, write_waiting
from uniaudio2.rules.rule import Rank, Rule, whole_name
from uniaudio2.seeds import row_seed

VERIFY_FIELDS = (
    pa.field(ATTEMPTS, pa.int32()),
    pa.field(VERIFIED, pa.bool_()),
    pa.field(VERIFY_REASON, pa.string()),
    pa.field(FAILED_ATTEMPTS, FAILED_TYPE),
)
NOTHING = "nothing_generated"  # the error of a draw that came to nothing: another may not
Unverified = Literal["keep", "error"]
Sounds = dict[str, Sequence[bytes]]  # the audio files of a row, by its id


@dataclass(frozen=True)
class Verifying:
    """What a job asks of its results.

    Attributes:
        rule: that they are to keep, see `Rule`.
        attempts: most draws of a row.
        best: what the kept one of several is the largest by, see `Rank`; None counts the conditions
            of the rule that hold. Of equals it is the first.
        unverified: what becomes of rows that never pass: they are results, or errors.
    """

    rule: str
    attempts: int = 1
    best: str | None = None
    unverified: Unverified = "keep"


@dataclass
class Sifted:
    """What becomes of a unit's rows.

    Attributes:
        results: those that are done.
        errors: those that failed.
        sounds: audio files of the former.
        again: keys of those that are to be made again, in hexadecimal.
        attempts: the file that they wait in, or "".
    """

    results: pa.Table
    errors: pa.Table
    sounds: Sounds
    again: tuple[str, ...] = ()
    attempts: str = ""


@dataclass
class _Pool:
    """Results to choose from: those of this attempt, then those of earlier ones."""

    tables: list[pa.Table]
    before: dict[str, dict[bytes, Waiting]] = field(default_factory=dict)

    def add(self, storage: Storage, path: str) -> None:
        """Take in what a file holds of earlier attempts."""
        rows, results = read_waiting(storage, path)
        start = sum(table.num_rows for table in self.tables)
        fits = results.schema.equals(self.tables[0].schema)  # else another build's
        if fits:
            self.tables.append(results)
        self.before[path] = {row.key: _moved(row, start) if fits else _emptied(row) for row in rows}


def _moved(row: Waiting, start: int) -> Waiting:
    return row if row.result is None else replace(row, result=start + row.result)


def _emptied(row: Waiting) -> Waiting:
    return replace(row, result=None, kept=None, rank=None, sounds=())


class Sifter:
    """Judges rows by a job's rule.

    Args:
        storage: of OUTPUT.
        verifying: what is asked of them.
        seed: the job's seed.
    """

    def __init__(self, storage: Storage, verifying: Verifying, seed: int) -> None:
        self.storage, self.verifying, self.seed = storage, verifying, seed
        self.rule = Rule.of(verifying.rule)
        self.best = Rank.of(verifying.best) if verifying.best is not None else None

    def __call__(
        self, table: pa.Table, results: pa.Table, errors: pa.Table, sounds: Sounds
    ) -> Sifted:
        """Sift a unit.

        Args:
            table: all its rows.
            results: of those that came to something, with the columns of `VERIFY_FIELDS`.
            errors: of the others.
            sounds: audio files of the results.
        """
        unit = _Unit(self, table, results, errors, sounds)
        for place in range(table.num_rows):
            unit.judge(place)
        return unit.sifted()


@dataclass
class _Unit:
    sifter: Sifter
    table: pa.Table
    results: pa.Table
    errors: pa.Table
    sounds: Sounds

    def __post_init__(self) -> None:
        self.ids: list[str] = self.table.column(ID).to_pylist()
        self.attempts: list[dict[str, Any]] = self.table.column(ATTEMPT).to_pylist()
        self.seeds = job_seeds(self.table, self.sifter.seed)
        self.made = {name: n for n, name in enumerate(self.results.column(ID).to_pylist())}
        self.told = {row["id"]: row for row in self.errors.to_pylist()}
        self.columns = self._columns()
        self.pool = _Pool([self.results])
        for path in dict.fromkeys(one["earlier"] for one in self.attempts):
            if path:
                self.pool.add(self.sifter.storage, path)
        self.done: list[tuple[Waiting, bool]] = []
        self.done_ids: list[str] = []
        self.again: list[Waiting] = []
        self.bad: list[dict[str, Any]] = []

    def _columns(self) -> dict[str, list[Any]]:
        """Values of the columns that rule and rank read."""
        sifter = self.sifter
        names = [*sifter.rule.names, *(sifter.best.names if sifter.best else ())]
        whole = {whole_name(name, self.results.column_names) for name in names}
        if SCORE_REASONS in self.results.column_names:
            whole.add(SCORE_REASONS)
        return {name: self.results.column(name).to_pylist() for name in sorted(whole)}

    def judge(self, place: int) -> None:
        """Decide what becomes of a row."""
        name, attempt = self.ids[place], self.attempts[place]
        number = attempt["number"]
        before = self.pool.before.get(attempt["earlier"], {}).get(attempt["key"])
        before = before or Waiting(attempt["key"], number, [])
        error = self.told.get(name)
        if error is not None and not number and error["kind"] != NOTHING:
            self.bad.append(error)  # another draw would fail likewise
            return
        now, passes = self._of_this(before, place, error)
        if passes:
            self._finish(name, now, True)
        elif number + 1 < self.sifter.verifying.attempts:
            self.again.append(now)
        elif now.result is None:
            self.bad.append({**(error or {}), "attempts": number + 1})
        elif self.sifter.verifying.unverified == "error":
            self.bad.append(self._unverified(place, now))
        else:
            self._finish(name, now, False)

    def _of_this(
        self, before: Waiting, place: int, error: dict[str, Any] | None
    ) -> tuple[Waiting, bool]:
        """A row after this attempt, and whether it passes."""
        name, number = self.ids[place], self.attempts[place]["number"]
        seed = row_seed(self.seeds[place], name)
        told: dict[str, Any] = {"attempt": number, "seed": seed, "reason": "", "rank": None}
        if error is not None:
            told["reason"] = f"{error['kind']}: {error['message']}"
            return replace(before, attempts=number + 1, failed=[*before.failed, told]), False
        own = self.made[name]
        row = {column: values[own] for column, values in self.columns.items()}
        reasons = row.get(SCORE_REASONS) or []
        verdict = self.sifter.rule.verdict(row, {one["score"]: one["reason"] for one in reasons})
        best = self.sifter.best
        rank = float(verdict.held) if best is None else best.value(row)
        told |= {"reason": verdict.reason, "rank": rank}
        now = replace(before, attempts=number + 1)
        if not verdict.holds:
            now = replace(now, failed=[*before.failed, told])
        if verdict.holds or _is_better(before, rank):
            now = replace(now, kept=number, rank=rank, result=own, sounds=self.sounds.get(name, ()))
        return now, verdict.holds

    def _finish(self, name: str, row: Waiting, passes: bool) -> None:
        self.done.append((row, passes))
        self.done_ids.append(name)

    def _unverified(self, place: int, row: Waiting) -> dict[str, Any]:
        """The row of the errors table for one that never passed."""
        cells = self.table.column(INPUT)[place]
        own = {one.name: shown_value(cells[one.name]) for one in cells.type}
        message = f"{row.attempts} attempts fail the rule; the best: {_why(row)}"
        values = [self.ids[place], "verify", "unverified", message, row.attempts, input_json(own)]
        return dict(zip(ERRORS_SCHEMA.names, values, strict=True))

    def sifted(self) -> Sifted:
        """What was decided."""
        pool = pa.concat_tables(self.pool.tables)
        results = pool.take(pa.array([row.result for row, _ in self.done], pa.int64()))
        values: dict[str, list[Any]] = {
            ATTEMPTS: [row.attempts for row, _ in self.done],
            VERIFIED: [passes for _, passes in self.done],
            VERIFY_REASON: [None if passes else _why(row) for row, passes in self.done],
            FAILED_ATTEMPTS: [row.failed or None for row, _ in self.done],
        }
        for one in VERIFY_FIELDS:
            results = set_column(results, one.name, pa.array(values[one.name], one.type))
        sounds = {name: row.sounds for name, (row, _) in zip(self.done_ids, self.done, strict=True)}
        errors = pa.Table.from_pylist(self.bad, ERRORS_SCHEMA)
        sifted = Sifted(results, errors, sounds)
        if self.again:
            unit = self.table.column(UNIT)[0].as_py()
            sifted.attempts = write_waiting(self.sifter.storage, unit, self.again, pool)
            sifted.again = tuple(row.key.hex() for row in self.again)
        return sifted


def _is_better(before: Waiting, rank: float | None) -> bool:
    """Whether an attempt takes the place of the best one before it."""
    if before.result is None:
        return True
    return rank is not None and (before.rank is None or rank > before.rank)


def _why(row: Waiting) -> str:
    """Why the kept attempt of a row fails."""
    reasons: Mapping[int, str] = {one["attempt"]: one["reason"] for one in row.failed}
    return reasons.get(row.kept if row.kept is not None else -1, "")
