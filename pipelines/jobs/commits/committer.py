"""Makes what came of units visible: in records of one or many, or as the next state of others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from actors.batch.channel_rows import whole_id
from actors.batch.receipt import FileMark
from actors.batch.unit import unit_fingerprint
from pipelines.causes import OTHER_RUN, STORAGE, stopped
from pipelines.jobs.commits.merging import IsOut, next_state, taken_over
from pipelines.planning.keys.row_keys import id_number, ids_of, is_among, key_array, with_fresh
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FORMAT_VERSION, Commit, shown_keys
from pipelines.run_state.records import UnitRuns

_ARRIVES_S = 10.0
KeysOf = Callable[[Commit], bytes]


@dataclass(frozen=True)
class Redo:
    """Rows of a committed unit that another unit does again.

    Attributes:
        unit: the committed one.
        is_out: tells by its id whether a row is one of them.
        adds_attempts: those that fail again keep count of how often they were tried.
    """

    unit: int
    is_out: IsOut
    adds_attempts: bool = False


@dataclass(frozen=True)
class Change:
    """What a commit changed.

    Attributes:
        before: the record that held; None where there was none.
        now: the one that holds; None where none does.
    """

    before: Commit | None
    now: Commit | None


@dataclass
class Committer:
    """Writes the records of a run.

    Attributes:
        commit_log: of OUTPUT.
        each_channel: ids of results may be those of a row's channels.
        redo: what a unit does again, by its number.
        keys_of: the keys of a record's rows, one behind the other, also of one that holds none.
    """

    commit_log: CommitLog
    each_channel: bool
    redo: dict[int, Redo] = field(default_factory=dict)
    keys_of: KeysOf = lambda commit: commit.row_keys
    _paths: dict[int, str] | None = None
    _merged: dict[int, UnitRuns] = field(default_factory=dict)
    _next: int | None = None

    @property
    def next_number(self) -> int:
        """The number of the next record of many units: whoever creates it first has it.

        All such records of a run are numbered without a gap from what was there when this was
        first asked for, so of two runs that overlap one is refused.
        """
        if self._next is None:
            self._next = self.commit_log.records.next_merged()
        return self._next

    def check_alone(self) -> None:
        """Refuse what another run has committed meanwhile in records of many units.

        Raises:
            RunFailed: there is such a record.
        """
        if self.commit_log.records.next_merged() > self.next_number:
            raise stopped(OTHER_RUN, f"it committed into {self.commit_log.storage.root}")

    def is_of(self, keys: bytes) -> IsOut:
        """What tells by its id whether a row of a part has one of some keys, see `row_keys`."""
        ids = ids_of(keys)

        def is_out(name: str) -> bool:
            return id_number(name) in ids or (
                self.each_channel and id_number(whole_id(name)) in ids
            )

        return is_out

    def commit(self, commit: Commit) -> Change:
        """Make a unit visible.

        Raises:
            RunFailed: another driver has committed it, or what a worker wrote is not here.
        """
        self._require_files(commit)
        redo = self.redo.get(commit.unit)
        if redo is None:
            return Change(None, self._written(self.commit_log.commit(commit)))
        before = self._holding(redo.unit)
        keys = with_fresh(self.keys_of(before), commit.row_keys)
        storage = self.commit_log.storage
        if is_among(keys, commit.row_keys).all() and not redo.adds_attempts:
            now = taken_over(before, commit)
        else:
            now = next_state(storage, before, redo.is_out, commit, keys, redo.adds_attempts)
        return Change(before, self._put(before, now, commit.files))

    def commit_many(self, commits: Sequence[Commit]) -> Change:
        """Make units visible together, whose rows no other unit has.

        Raises:
            RunFailed: as `commit`.
        """
        if len(commits) == 1:
            return self.commit(commits[0])
        for commit in commits:
            self._require_files(commit)
        in_order = sorted(commits, key=attrgetter("unit"))
        return Change(None, self.commit_record(record_of(self.next_number, in_order)))

    def commit_record(self, record: Commit) -> Commit:
        """Write a record of many units, numbered `next_number`; returns it as it is stored.

        Raises:
            RunFailed: another driver has written one of this number.
        """
        record = self._written(self.commit_log.commit(record))
        self._next = record.unit + 1
        return record

    def _written(self, record: Commit) -> Commit:
        if self._paths is not None:
            self._paths[record.unit] = record.path
        return record

    def _require_files(self, commit: Commit) -> None:
        """Refuse parts on a local disk that is a worker's alone: a node may have joined late."""
        storage = self.commit_log.storage
        if not storage.is_local:
            return
        until = time.monotonic() + _ARRIVES_S  # a disk of a network may take a moment
        for path in commit.files:
            while not storage.exists(path):
                if time.monotonic() > until:
                    raise stopped(
                        STORAGE,
                        f"{storage.uri(path)} was written by a worker and is not here: its node "
                        "has another folder of that name",
                        "give an OUTPUT that all nodes share, or a store such as "
                        "s3://bucket/folder",
                    )
                time.sleep(0.2)

    def withdraw(self, unit: int, keys: bytes) -> Change:
        """Take rows out of a unit.

        Args:
            unit: that is committed.
            keys: of these rows, one behind the other.
        """
        before = self._holding(unit)
        there = key_array([self.keys_of(before)])
        left = there[~is_among(there.tobytes(), keys)].tobytes()
        if not left:
            self.commit_log.withdraw([before.unit])
            return Change(before, None)
        now = next_state(self.commit_log.storage, before, self.is_of(keys), None, left)
        return Change(before, self._put(before, now, {}))

    def _holding(self, unit: int) -> Commit:
        """The record that holds for a unit, which may be that of many."""
        records = self.commit_log.records
        if self._paths is None:
            self._paths = {number: paths[-1] for number, paths in records.paths().items()}
        for number, replaced in self._merged.items():
            unit = number if unit in replaced else unit
        return records.read(self._paths[unit])

    def merged(self, record: Commit) -> None:
        """From now on a record holds in the place of others, see `Commit.replaces`."""
        self._merged[record.unit] = UnitRuns(record.replaces)

    def _put(self, before: Commit, now: Commit, files: Mapping[str, object]) -> Commit:
        """Write the next record of a unit; then what it no longer names goes.

        What another made of the unit stays another's.
        """
        now = self._written(self.commit_log.commit(now, self.commit_log.owns_commit(before)))
        self.commit_log.storage.delete_many(sorted({*before.files, *files} - now.files.keys()))
        return now


def record_of(
    number: int,
    records: Sequence[Commit],
    data: Sequence[str] | None = None,
    error_parts: Sequence[str] | None = None,
    files: Mapping[str, FileMark] | None = None,
) -> Commit:
    """The record that holds in the place of several, whether they were ever written or not.

    Args:
        number: see `Committer.next_number`.
        records: of the units, in their order.
        data: paths of the parts that hold their rows; None where they stay what they are.
        error_parts: likewise of their errors.
        files: marks of these parts by path.
    """
    keys = b"".join(one.row_keys for one in records)
    replaced = UnitRuns((one.unit, one.unit) for one in records)
    named = dict(files or {})
    for one in records:
        replaced.add(one.replaces)
        gone = set() if files is None else {*one.data, *one.error_parts}
        named.update((path, mark) for path, mark in one.files.items() if path not in gone)
    if data is None or error_parts is None:
        data = [path for one in records for path in one.data]
        error_parts = [path for one in records for path in one.error_parts]
    return Commit(
        unit=number,
        fingerprint=unit_fingerprint(keys),
        ok=sum(one.ok for one in records),
        errors=sum(one.errors for one in records),
        data=tuple(data),
        error_parts=tuple(error_parts),
        audio=tuple(path for one in records for path in one.audio),
        input_s=sum(one.input_s for one in records),
        output_s=sum(one.output_s for one in records),
        kinds=dict(sum((Counter(one.kinds) for one in records), Counter())),
        marks=dict(sum((Counter(one.marks) for one in records), Counter())),
        files=named,
        stages=tuple(call for one in records for call in one.stages),
        added_rows=sum(one.added_rows for one in records),
        origins={number: span for one in records for number, span in one.sources.items()},
        keys=shown_keys(keys),
        replaces=tuple(replaced.runs),
        format_version=FORMAT_VERSION,
    )
