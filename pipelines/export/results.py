"""The committed results of a run as an export reads them, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from actors.batch.names import CODE_COLUMNS
from actors.batch.receipt import file_mark
from actors.batch.table import read_codes
from pipelines.export.row import ExportRow, Sounds
from pipelines.export.where import Where
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import Commit
from pipelines.run_state.parts import BadPart, part_bytes, plain_rows, tables_of
from uniaudio2.errors import BadRow
from uniaudio2.shown import shown
from uniaudio2.tokens.codes import Codes

_EXAMPLES = 5


@dataclass
class ExportResult:
    """Counts of an export.

    Attributes:
        rows: rows that were written.
        left_out: rows that were not asked for.
        skipped: rows that the format cannot hold, by kind.
        examples: id and message of the first of them.
        altered: rows that were written, but whose texts some reader of the format changes.
        altered_ids: ids of the first of them.
    """

    rows: int = 0
    left_out: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    altered: int = 0
    altered_ids: list[str] = field(default_factory=list)

    def alter(self, row: ExportRow) -> None:
        """Count a row whose texts some reader changes."""
        self.altered += 1
        if len(self.altered_ids) < _EXAMPLES:
            self.altered_ids.append(row.id)

    def skip(self, row: ExportRow, error: BadRow) -> None:
        """Count a row that could not be written."""
        self.skipped[error.kind] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{shown(row.id, 80)}: {error.message}")

    def skip_part(self, fault: BadPart) -> None:
        """Count a part that could not be read."""
        self.skipped["unreadable_part"] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(str(fault))


@dataclass(frozen=True)
class Results:
    """The committed rows of a run, read part by part.

    Attributes:
        commit_log: of OUTPUT.
        own: the run is this user's own.
        asked: what rows name may be read, whoever made them.
        where: decides which rows are wanted; None takes all.
        without: ids that are not wanted.
    """

    commit_log: CommitLog
    own: bool
    asked: bool
    where: Where | None = None
    without: pa.Array | None = None

    def schema(self) -> pa.Schema | None:
        """The columns of the parts, None when there is none: those of the first that can be read,
        then what the last unit's has beside them, which may be of a newer build.

        Raises:
            BadPart: there are parts, but none of them can be read.
        """
        schema: pa.Schema | None = None
        problem: BadPart | None = None
        last: Commit | None = None
        for commit in self.commit_log.each_commit():
            last = commit if commit.data else last
            for path in commit.data if schema is None else ():
                try:
                    schema = schema or self._schema(commit, path)
                except BadPart as fault:
                    problem = problem or fault
        if schema is None and problem:
            raise problem
        if schema is not None and last is not None:
            with suppress(BadPart):
                for field in self._schema(last, last.data[-1]):
                    schema = schema if field.name in schema.names else schema.append(field)
        return schema

    def rows(self, sounds: Sounds, result: ExportResult) -> Iterator[ExportRow]:
        """Every row, one part in memory at a time; what cannot be read is counted in `result`."""
        for commit in self.commit_log.records.in_order():
            for path in commit.data:
                try:
                    for table, own in self._tables(commit, path):
                        table = self._wanted(table, result)
                        yield from _rows_of(table, sounds, self.asked or own, result)
                except BadPart as fault:
                    result.skip_part(fault)

    def _wanted(self, table: pa.Table, result: ExportResult) -> pa.Table:
        wanted = table
        if self.without is not None:
            wanted = wanted.filter(pc.invert(pc.is_in(wanted["id"], self.without)))
        if self.where is not None:
            wanted = wanted.filter(pa.array(self.where.mask(wanted)))
        result.left_out += table.num_rows - wanted.num_rows
        return wanted

    def _schema(self, commit: Commit, path: str) -> pa.Schema:
        return next(self._tables(commit, path))[0].schema

    def _tables(self, commit: Commit, path: str) -> Iterator[tuple[pa.Table, bool]]:
        """The rows of a part, and whether a run of this user wrote exactly its bytes."""
        data = part_bytes(self.commit_log.storage, path)
        own = self.own and self.commit_log.owns_commit(commit)
        own = own and commit.files.get(path) == file_mark(data)
        return ((table, own) for table in tables_of(data, path, own=own))


def _rows_of(
    table: pa.Table, sounds: Sounds, trusted: bool, result: ExportResult
) -> Iterator[ExportRow]:
    names = [name for name in table.column_names if name not in CODE_COLUMNS]
    for index, facts in enumerate(plain_rows(table.select(names))):
        try:
            codes = read_codes(table, index)
        except (ValueError, TypeError, AttributeError):
            codes, facts = Codes.empty(), None
        if facts is None:
            row_id = {"id": table.column("id")[index].as_py()}
            error = BadRow("unreadable_row", "a value does not match the type of its column")
            result.skip(ExportRow(row_id, Codes.empty(), sounds), error)
        else:
            yield ExportRow(facts, codes, sounds, trusted)
