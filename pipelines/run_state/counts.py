"""Running totals: rows, units and seconds of audio."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipelines.run_state.commit_record import Commit


@dataclass
class Counts:
    """Running totals of a run; `rows` grows by the channels that turn out to be rows.

    `redo` of the rows that count as done are done again.
    """

    rows: int = 0
    units: int = 0
    units_done: int = 0
    ok: int = 0
    errors: int = 0
    input_s: float = 0.0
    output_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    redo: int = 0

    @property
    def done(self) -> int:
        """Rows that are in data or in errors, and stay there."""
        return self.ok + self.errors - self.redo

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.units_done == self.units and not self.redo

    def add(self, commit: Commit) -> None:
        """Count a committed unit."""
        self.units_done += commit.units
        self.rows += commit.added_rows
        self.ok += commit.ok
        self.errors += commit.errors
        self.input_s += commit.input_s
        self.output_s += commit.output_s
        self.kinds.update(commit.kinds)
        self.marks.update(commit.marks)

    def take_out(self, commit: Commit) -> None:
        """Undo `add`."""
        self.units_done -= commit.units
        self.rows -= commit.added_rows
        self.ok -= commit.ok
        self.errors -= commit.errors
        self.input_s = max(self.input_s - commit.input_s, 0.0)
        self.output_s = max(self.output_s - commit.output_s, 0.0)
        self.kinds -= Counter(commit.kinds)
        self.marks -= Counter(commit.marks)
