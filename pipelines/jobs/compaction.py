"""Merges small parts into large ones while a run goes on, so that readers open few files.

What becomes of it is one commit record that holds in the place of all that it merged: before it is
there nothing happened, after it all did. What it replaced is removed a while later, for those who
are just reading, and by the sweep at the end of a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.batch.unit import unit_fingerprint
from actors.stages.merge import Marked, MergedParts, merge_parts
from pipelines.errors import RunFailed
from pipelines.executor.executor import Executor, Underway
from pipelines.jobs.committer import Change, Committer
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FORMAT_VERSION, Commit, shown_keys
from pipelines.run_state.records import UnitRuns

MOST_ROWS = 1 << 18  # of a record: 7 MB of keys
MOST_FILES = 1 << 16  # likewise: 7 MB of names and hashes
FEW_RECORDS = 16  # so many small parts are left as they are
_MANY_RECORDS = 512
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
    """

    unit: int
    path: str
    size: int
    rows: int
    files: int

    @staticmethod
    def of(commit: Commit) -> Small:
        """What counts of a record."""
        paths = (*commit.data, *commit.error_parts)
        size = sum(int(commit.files[path][0]) for path in paths if path in commit.files)
        rows = commit.ok + commit.errors
        return Small(commit.unit, commit.path, size, rows, len(commit.files))


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
    _next: int | None = None
    _work: tuple[list[Small], int, Underway[MergedParts]] | None = None
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
        if self._work is not None and self._work[2].is_done():
            self._finish_work()
        if self._work is None and self._is_ripe():
            self._begin()
        now = time.monotonic()
        while self._old and self._old[0][0] < now:
            self.commit_log.storage.delete_many(self._old.pop(0)[1])

    def finish(self) -> None:
        """Merge what is left at the end of a run, unless it is little."""
        while self._work is not None or (len(self._small) > FEW_RECORDS and not self._is_off):
            if self._work is None and not self._begin():
                return
            self._finish_work()

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
            len(waiting) >= _MANY_RECORDS
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
        if len(group) < 2:
            return False
        records = self.commit_log.records.read_all([small.path for small in group])
        if self._next is None:
            self._next = self.commit_log.records.next_merged()
        work = self.executor.submit(
            merge_parts, self.commit_log.storage.root, self._next,
            [mark for record in records for mark in _marked(record, record.data)],
            [mark for record in records for mark in _marked(record, record.error_parts)],
        )  # fmt: skip
        self._work = (group, self._next, work)
        return True

    def _finish_work(self) -> None:
        """Let the record of what was merged hold, unless a unit has changed meanwhile."""
        if self._work is None:
            return
        group, number, work = self._work
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
        record = merged_record(number, records, parts)
        record = self.commit_log.commit(record)
        self._next = number + 1
        self.merged_parts += len(parts.files)
        self.committer.merged(record)
        for small in group:
            del self._small[small.unit]
        old = [path for one in records for path in (*one.data, *one.error_parts)]
        until = time.monotonic() + _READERS_TAKE_S
        # records first: what holds no longer must be gone before what it names
        self._old += [(until, [small.path for small in group]), (until, old)]
        self.found(record)


def _marked(record: Commit, paths: Sequence[str]) -> list[Marked]:
    return [(path, record.files[path]) for path in paths]


def merged_record(number: int, records: Sequence[Commit], parts: MergedParts) -> Commit:
    """The record that holds in the place of several.

    Args:
        number: see `Records.next_merged`.
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
    keys = b"".join(one.row_keys for one in records)
    replaced = UnitRuns((one.unit, one.unit) for one in records)
    files = dict(parts.files)
    for one in records:
        replaced.add(one.replaces)
        gone = {*one.data, *one.error_parts}
        files.update((path, mark) for path, mark in one.files.items() if path not in gone)
    return Commit(
        unit=number,
        fingerprint=unit_fingerprint(keys),
        ok=ok,
        errors=errors,
        data=parts.data,
        error_parts=parts.error_parts,
        audio=tuple(path for one in records for path in one.audio),
        input_s=sum(one.input_s for one in records),
        output_s=sum(one.output_s for one in records),
        kinds=dict(sum((Counter(one.kinds) for one in records), Counter())),
        marks=dict(sum((Counter(one.marks) for one in records), Counter())),
        files=files,
        stages=tuple(call for one in records for call in one.stages),
        added_rows=sum(one.added_rows for one in records),
        origins={number: span for one in records for number, span in one.sources.items()},
        keys=shown_keys(keys),
        replaces=tuple(replaced.runs),
        format_version=FORMAT_VERSION,
    )
