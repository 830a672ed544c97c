"""Merges small parts into large ones while a run goes on, so that readers open few files.

What becomes of it is one commit record that holds in the place of all that it merged: before it is
there nothing happened, after it all did. What it replaced is removed a while later, for those who
are just reading, and by the sweep at the end of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.stages.merge import Marked, MergedParts, merge_parts
from pipelines.errors import RunFailed
from pipelines.executor.executor import Executor, Underway
from pipelines.jobs.commits.committer import Change, Committer, record_of
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FIRST_MERGED, Commit

MOST_ROWS = 1 << 18  # of a record: 7 MB of keys
MOST_FILES = 1 << 16  # likewise: 7 MB of names and hashes
FEW_PARTS = 16  # so many small ones are left as they are
_MANY_PARTS = 512
_READERS_TAKE_S = 60.0
_MOST_FAILURES = 3


@dataclass(frozen=True)
class Small:
    """A record that may be merged with others.

    Attributes:
        unit: its number.
        path: where it is; of another path is another state of the unit.
        size: bytes of its parts.
        rows: of its input.
        files: objects that it names.
        parts: those of single units; 1 where all were merged.
    """

    unit: int
    path: str
    size: int
    rows: int
    files: int
    parts: int

    @staticmethod
    def of(commit: Commit) -> Small:
        """What counts of a record."""
        paths = (*commit.data, *commit.error_parts)
        size = sum(int(commit.files[path][0]) for path in paths if path in commit.files)
        rows = commit.ok + commit.errors
        parts = max(1, *(sum(map(_is_of_one_unit, of)) for of in (commit.data, commit.error_parts)))
        return Small(commit.unit, commit.path, size, rows, len(commit.files), parts)


@dataclass
class Compaction:
    """Merges what a run commits.

    Attributes:
        commit_log: of OUTPUT.
        committer: is told of records that hold for several units.
        executor: merges beside the stages.
        target_bytes: size of merged parts.
        say: tells people.
    """

    commit_log: CommitLog
    committer: Committer
    executor: Executor
    target_bytes: int
    say: Callable[[str, str], None]
    merged_parts: int = 0
    _small: dict[int, Small] = field(default_factory=dict)
    _work: tuple[list[Small], Underway[MergedParts]] | None = None
    _old: list[tuple[float, list[str]]] = field(default_factory=list)
    _failures: int = 0

    def found(self, commit: Commit) -> None:
        """Take in a record that holds, if it can be merged: all of it this user's, its rows known,
        and no sound of it was left behind."""
        small = Small.of(commit)
        is_whole = bool(commit.keys or commit.rows) and not (commit.generation and commit.audio)
        if self._is_small(small) and is_whole and self.commit_log.owns_commit(commit):
            self._small[commit.unit] = small

    def changed(self, change: Change) -> None:
        """Take in what a commit changed, and go on merging."""
        if change.before is not None:
            self._small.pop(change.before.unit, None)
        if change.now is not None:
            self.found(change.now)
        self.step()

    def step(self) -> None:
        """Commit what was merged, begin the next, and remove what is long replaced."""
        if self._work is not None and self._work[1].is_done():
            self._finish_work()
        if self._work is None and self._is_ripe():
            self._begin()
        now = time.monotonic()
        while self._old and self._old[0][0] < now:
            self.commit_log.storage.delete_many(self._old.pop(0)[1])

    def finish(self) -> None:
        """Merge what is left at the end of a run, unless it is little."""
        while self._work is not None or (self._small_parts > FEW_PARTS and not self._is_off):
            if self._work is None and not self._begin():
                return
            self._finish_work()

    @property
    def _small_parts(self) -> int:
        return sum(small.parts for small in self._small.values())

    @property
    def _is_off(self) -> bool:
        return self._failures >= _MOST_FAILURES

    def _is_small(self, small: Small) -> bool:
        return (
            2 * small.size < self.target_bytes
            and 2 * small.rows < MOST_ROWS
            and 2 * small.files < MOST_FILES
        )

    def _is_ripe(self) -> bool:
        waiting = self._small.values()
        return not self._is_off and (
            self._small_parts >= _MANY_PARTS
            or sum(small.size for small in waiting) >= self.target_bytes
            or sum(small.rows for small in waiting) >= MOST_ROWS
            or sum(small.files for small in waiting) >= MOST_FILES
        )

    def _group(self) -> list[Small]:
        """The next records to merge, in the order of their units."""
        group: list[Small] = []
        size = rows = files = 0
        for small in sorted(self._small.values(), key=lambda one: one.unit):
            size, rows, files = size + small.size, rows + small.rows, files + small.files
            if group and (size > self.target_bytes or rows > MOST_ROWS or files > MOST_FILES):
                break
            group.append(small)
        return group

    def _begin(self) -> bool:
        group = self._group()
        if sum(small.parts for small in group) < 2:
            return False
        records = self.commit_log.records.read_all([small.path for small in group])
        work = self.executor.submit(
            merge_parts, self.commit_log.storage.root, self.committer.next_number,
            [mark for record in records for mark in _marked(record, record.data)],
            [mark for record in records for mark in _marked(record, record.error_parts)],
        )  # fmt: skip
        self._work = (group, work)
        return True

    def _finish_work(self) -> None:
        """Let the record of what was merged hold, unless a unit has changed meanwhile."""
        if self._work is None:
            return
        group, work = self._work
        self._work = None
        try:
            parts = work.result()
        except (OSError, ValueError, RunFailed) as fault:
            self._failures += 1
            self.say("warning", f"parts were not merged: {fault}; they stay as they are")
            return
        if any(self._small.get(small.unit) != small for small in group):
            self.commit_log.storage.delete_many(list(parts.files))
            return
        records = self.commit_log.records.read_all([small.path for small in group])
        # not the number that its parts are named by: others were written meanwhile
        record = merged_record(self.committer.next_number, records, parts)
        record = self.committer.commit_record(record)
        self.merged_parts += len(parts.files)
        self.committer.merged(record)
        for small in group:
            del self._small[small.unit]
        old = [path for one in records for path in (*one.data, *one.error_parts)]
        until = time.monotonic() + _READERS_TAKE_S
        # records first: what holds no longer must be gone before what it names
        self._old += [(until, [small.path for small in group]), (until, old)]
        self.found(record)


def _is_of_one_unit(part: str) -> bool:
    """Whether a part was written as that of a unit; what was merged is numbered apart."""
    return int(part.partition("/part-")[2].partition("-")[0]) < FIRST_MERGED


def _marked(record: Commit, paths: Sequence[str]) -> list[Marked]:
    return [(path, record.files[path]) for path in paths]


def merged_record(number: int, records: Sequence[Commit], parts: MergedParts) -> Commit:
    """The record that holds in the place of several.

    Args:
        number: see `Committer.next_number`.
        records: of the units, in their order.
        parts: what their parts became.

    Raises:
        RunFailed: the parts have other rows than the records count.
    """
    ok, errors = sum(one.ok for one in records), sum(one.errors for one in records)
    if (parts.ok, parts.errors) != (ok, errors):
        raise RunFailed(
            f"{ok} rows and {errors} errors were merged into {parts.ok} and {parts.errors}; "
            "nothing was changed: `uniaudio2 status --verify` tells which part is not as written"
        )
    return record_of(number, records, parts.data, parts.error_parts, parts.files)
