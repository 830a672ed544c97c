"""Collect facts of result rows for the report, from a bounded sample of parts."""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jiwer
import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.names import (
    DURATION_S,
    FINISH_REASON,
    INPUT_DURATION_S,
    REASON_CODES,
    RECON_CODES,
)
from actors.batch.receipt import file_mark
from actors.storage.object_store import Storage
from pipelines.report.verified import VerifyFacts
from pipelines.run_state.parts import errors_tables_of, part_bytes, plain_rows, some_tables_of
from uniaudio2.scores.table import SCORERS, score_columns
from uniaudio2.scores.words import words_of

MOST_PARTS = 1500
MOST_ROWS = 200_000  # about
MOST_BYTES = 1 << 30
_MOST_AHEAD_BYTES = 256 << 20
SAMPLES = 8
WORST_SAMPLES = 4
EXAMPLES_PER_KIND = 3
_READ_THREADS = 8
REFERENCES = {"asr": "input_text", "audio_caption": "caption"}  # what `text` should equal
_LENGTHS = (REASON_CODES, RECON_CODES)
_LARGEST = 1e12  # seconds; NaN is not below it either
_LONGEST_TEXT = 1_000_000
_REASON_CHARACTERS = 40
_NUMBERS = (INPUT_DURATION_S, DURATION_S, *score_columns(list(SCORERS)))


@dataclass(frozen=True, order=True)
class Pick:
    """A row that is shown.

    Attributes:
        rank: those of the lowest ranks are shown.
        part: path of its data part.
        row: its index there.
    """

    rank: float
    part: str
    row: int


@dataclass
class WordErrors:
    """Words wrong and words in all of texts with a reference."""

    wrong: int = 0
    words: int = 0
    rows: int = 0

    @property
    def rate(self) -> float | None:
        """Word error rate; None when no text has a reference."""
        return self.wrong / self.words if self.words else None


@dataclass
class RowFacts:
    """Facts of the rows that were read.

    Attributes:
        reference: the column that `text` should equal, if the task has one.
        read: rows read.
        numbers: values by column, durations in seconds and lengths in frames.
        finish: rows by finish reason.
        errors: of words, where texts have references.
        verify: what they say of the job's rule, where it has one.
    """

    reference: str | None = None
    read: int = 0
    numbers: dict[str, array[float]] = field(default_factory=dict)
    finish: Counter[str] = field(default_factory=Counter)
    errors: WordErrors = field(default_factory=WordErrors)
    verify: VerifyFacts | None = None
    _picked: list[Pick] = field(default_factory=list)
    _worst: list[Pick] = field(default_factory=list)

    @property
    def samples(self) -> list[Pick]:
        """Rows to show: some at random, the same ones each time, then the worst texts, or those
        that are furthest from keeping the rule."""
        picked = sorted(self._picked)
        known = {(pick.part, pick.row) for pick in picked}
        worst = [pick for pick in sorted(self._worst) if (pick.part, pick.row) not in known]
        return picked + worst[:WORST_SAMPLES]

    def add(self, part: str, table: pa.Table, first: int = 0) -> None:
        """Take in rows of a data part.

        Args:
            part: its path.
            table: the rows.
            first: the number of the first of them in the part.
        """
        self.read += table.num_rows
        names = set(table.column_names)
        kinds = {field.name: field.type for field in table.schema}
        for name in names.intersection(_NUMBERS):
            if pa.types.is_floating(kinds[name]):
                values = table.column(name).drop_null().to_pylist()
                sane = (value for value in values if abs(value) <= _LARGEST)
                self.numbers.setdefault(name, array("d")).extend(sane)
        for name in names.intersection(_LENGTHS):
            if pa.types.is_list(kinds[name]):
                lengths = pc.list_value_length(table.column(name)).drop_null().to_pylist()
                self.numbers.setdefault(name, array("d")).extend(lengths)
        if pa.types.is_string(kinds.get(FINISH_REASON, pa.null())):
            reasons = plain_rows(table.select([FINISH_REASON]))
            self.finish.update(
                truncate(row[FINISH_REASON], _REASON_CHARACTERS)
                for row in reasons
                if row and row[FINISH_REASON] is not None
            )
        ranks = [rank_of(str(name)) for name in table.column("id").to_pylist()]
        self._keep(
            self._picked, SAMPLES, (Pick(r, part, row) for row, r in enumerate(ranks, first))
        )
        if self.verify is not None:
            failing = self.verify.add(table)
            more = (Pick(rank, part, first + row) for rank, row in failing)
            self._keep(self._worst, SAMPLES + WORST_SAMPLES, more)
        if self.reference in names:
            self._judge(part, table, str(self.reference), first)

    def _judge(self, part: str, table: pa.Table, reference: str, first: int) -> None:
        worst = []
        names = [name for name in (reference, "text") if name in table.column_names]
        for row, texts in enumerate(plain_rows(table.select(names)), first):
            judged = word_errors(texts.get(reference), texts.get("text")) if texts else None
            if judged is None:
                continue
            wrong, words = judged
            self.errors.wrong += wrong
            self.errors.words += words
            self.errors.rows += 1
            if wrong:
                worst.append(Pick(-wrong / words, part, row))
        if self.verify is None:
            self._keep(self._worst, SAMPLES + WORST_SAMPLES, worst)

    @staticmethod
    def _keep(kept: list[Pick], count: int, more: Iterable[Pick]) -> None:
        kept[:] = heapq.nsmallest(count, [*kept, *more])


def rank_of(row_id: str) -> float:
    """A number that an id alone decides, so that the same rows are shown each time."""
    data = row_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=6).digest(), "big") / 2**48


def word_errors(wanted: Any, heard: Any) -> tuple[int, int] | None:
    """Words wrong and words wanted, see `words_of`; None without a reference."""
    if not isinstance(wanted, str) or not isinstance(heard, str):
        return None
    if max(len(wanted), len(heard)) > _LONGEST_TEXT:
        return None  # it would take minutes
    words = words_of(wanted)
    if not words:
        return None
    found = jiwer.process_words(" ".join(words), " ".join(words_of(heard)))
    wrong = found.substitutions + found.deletions + found.insertions
    return wrong, found.substitutions + found.deletions + found.hits


def _each_part(
    storage: Storage, parts: list[str], sizes: Mapping[str, int]
) -> Iterator[tuple[str, bytes]]:
    """At most `MOST_PARTS` parts and about `MOST_BYTES` of them, as they are stored; the next ones
    are on their way meanwhile.

    They are unpacked one by one, for each may take much memory.
    """
    average = sum(sizes.get(path, 0) for path in parts) // max(len(parts), 1)
    paths = evenly_spaced(parts, max(min(MOST_PARTS, MOST_BYTES // max(average, 1)), 1))
    ahead = max(min(_READ_THREADS, _MOST_AHEAD_BYTES // max(average, 1)), 1)
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        coming: deque[tuple[str, Future[bytes]]] = deque()
        for path in paths:
            coming.append((path, pool.submit(part_bytes, storage, path)))
            if len(coming) > ahead:
                done, data = coming.popleft()
                yield done, data.result()
        while coming:
            done, data = coming.popleft()
            yield done, data.result()


def evenly_spaced(items: list[str], most: int) -> list[str]:
    """At most so many items, evenly spread."""
    if len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]


def read_rows(
    storage: Storage,
    parts: list[str],
    task: str,
    trusted: Mapping[str, Sequence[int | str]] | None = None,
    sizes: Mapping[str, int] | None = None,
    rows: int = 0,
    verify: VerifyFacts | None = None,
) -> RowFacts:
    """Read data parts, few in memory at a time, see `_each_part`.

    Args:
        storage: OUTPUT.
        parts: paths of its data parts.
        task: says which column `text` should equal.
        trusted: size and hash of parts that a run of this user wrote, by their paths.
        sizes: bytes of parts by their paths.
        rows: how many there are in all; of many, only some groups of each part are read.
        verify: takes in what they say of the job's rule; None where it has none.
    """
    facts = RowFacts(REFERENCES.get(task), verify=verify)
    text = ("text", facts.reference) if facts.reference else ()
    ruled = verify.columns if verify else ()
    columns = ("id", FINISH_REASON, *_NUMBERS, *_LENGTHS, *text, *ruled)
    every = max(rows // MOST_ROWS, 1)
    for path, data in _each_part(storage, parts, sizes or {}):
        own = list((trusted or {}).get(path, ())) == file_mark(data)
        for first, table in some_tables_of(data, path, every, columns, own):
            facts.add(path, table, first)
    return facts


@dataclass(frozen=True)
class ErrorExample:
    """A row of the errors table, cut to what can be shown."""

    row_id: str
    stage: str
    message: str
    attempts: int
    input: str


def read_errors(
    storage: Storage, parts: list[str], sizes: Mapping[str, int] | None = None
) -> dict[str, list[ErrorExample]]:
    """A few examples of each kind of error, from errors parts, see `_each_part`."""
    found: dict[str, list[tuple[float, ErrorExample]]] = {}
    tables = (
        table
        for path, data in _each_part(storage, parts, sizes or {})
        for table in errors_tables_of(data, path)
    )
    for table in tables:
        for row in filter(None, plain_rows(table)):
            example = ErrorExample(
                truncate(row["id"], 120), row["stage"], truncate(row["message"], 400),
                row["attempts"], truncate(row["input"], 300),
            )  # fmt: skip
            kept = found.setdefault(row["kind"], [])
            kept.append((rank_of(str(row["id"])), example))
            kept.sort(key=lambda entry: entry[0])
            del kept[EXAMPLES_PER_KIND:]
    return {kind: [example for _, example in kept] for kind, kept in found.items()}


def truncate(value: Any, characters: int) -> str:
    """A value as a text of bounded length."""
    text = str(value)
    return text if len(text) <= characters else f"{text[:characters]}…"
