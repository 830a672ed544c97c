"""Units that come quickly share a record; one that comes alone is committed at once."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.storage.object_store import Storage
from benchmarks.driver import answering_stages
from pipelines import RunFailed
from pipelines.export.export import export_run
from pipelines.jobs.commits import grouped_commits
from pipelines.jobs.commits.grouped_commits import GroupedCommits
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FIRST_MERGED, Commit
from tests.pipelines.jobs.commits.test_compaction import IDS, ROWS, answer
from tests.pipelines.jobs.test_pending import committed, is_consistent, write_lines
from tests.pipelines.jobs.test_run import read_errors

LONG_S = 60.0


def unit(number: int, rows: int = 1, part_bytes: int = 10) -> Commit:
    path = f"data/part-{number:08d}-00000000.parquet"
    return Commit(number, "f", rows, 0, (path,), (), (), 0.0, 0.0, {}, {path: [part_bytes, "hash"]})


class Records:
    """What was written together, and by which thread."""

    def __init__(self, fails: bool = False) -> None:
        self.groups: list[list[int]] = []
        self.threads: list[threading.Thread] = []
        self.written, self.fails = threading.Event(), fails

    def __call__(self, commits: Sequence[Commit]) -> None:
        self.groups.append([commit.unit for commit in commits])
        self.threads.append(threading.current_thread())
        if len(self.groups) > 1:
            self.written.set()
            if self.fails:
                raise RunFailed("storage is away")


def test_the_first_unit_is_committed_at_once_and_those_behind_it_together() -> None:
    records = Records()
    with GroupedCommits(records, LONG_S, 1000) as commits:
        for number in range(4):
            commits.add(unit(number))
            assert records.groups == [[0]]
    assert records.groups == [[0], [1, 2, 3]]


def test_units_that_come_slowly_are_each_committed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 5.0)
    monkeypatch.setattr(grouped_commits.time, "monotonic", lambda: next(clock))
    records = Records()
    with GroupedCommits(records, 4.0, 1000) as commits:
        for number in range(3):
            commits.add(unit(number))
            assert len(records.groups) == number + 1
    zero = Records()
    with GroupedCommits(zero, 0.0, 1000) as commits:
        for number in range(3):
            commits.add(unit(number))
    assert zero.groups == records.groups == [[0], [1], [2]]


def test_what_waits_is_written_in_time_though_no_other_unit_comes() -> None:
    records = Records()
    with GroupedCommits(records, 0.05, 1000) as commits:
        commits.add(unit(0))
        commits.add(unit(1))
        commits.add(unit(2))
        assert records.written.wait(30)
        assert records.groups == [[0], [1, 2]]
        assert records.threads[1] is not threading.main_thread()


def test_a_write_that_fails_in_time_is_told_to_who_comes_next_and_is_not_tried_again() -> None:
    records = Records(fails=True)
    with pytest.raises(RunFailed, match="storage is away"), GroupedCommits(records, 0.05, 9) as of:
        of.add(unit(0))
        of.add(unit(1, part_bytes=1))
        assert records.written.wait(30)
        of._changed.acquire()  # behind the write
        of._changed.release()
        of.add(unit(2))
    assert records.groups == [[0], [1]]


def test_one_portion_of_a_plan_is_committed_behind_the_other() -> None:
    records = Records()
    commits = GroupedCommits(records, 0.05, 1000)
    for first in (0, 3):
        records.written.clear()
        with commits:
            for number in range(first, first + 3):
                commits.add(unit(number))
            assert records.written.wait(30)
        assert commits._thread is None
    assert sorted(number for group in records.groups for number in group) == list(range(6))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RunFailed])
def test_what_waits_is_written_where_something_ends_the_run(stop: type[BaseException]) -> None:
    records = Records()
    with pytest.raises(stop), GroupedCommits(records, LONG_S, 1000) as commits:
        for number in range(3):
            commits.add(unit(number))
        raise stop("now")
    assert records.groups == [[0], [1, 2]]


def test_a_group_is_bounded_so_that_it_can_be_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records()
    with GroupedCommits(records, LONG_S, 25) as commits:
        for number in range(6):
            commits.add(unit(number))
        commits.add(unit(6, part_bytes=90))
        commits.add(unit(7), alone=True)
        commits.add(unit(8))
    assert records.groups == [[0], [1, 2], [3, 4], [5], [6], [7], [8]]
    monkeypatch.setattr(grouped_commits, "MOST_UNITS", 2)
    few = Records()
    with GroupedCommits(few, LONG_S, 1 << 20) as commits:
        for number in range(5):
            commits.add(unit(number))
    assert few.groups == [[0], [1, 2], [3, 4]]


@pytest.fixture
def by_tens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_commits, "MOST_UNITS", 10)


GROUPED: dict[str, Any] = {"commit_interval_s": LONG_S, "parts": {"merge": False}}


@pytest.mark.usefixtures("by_tens")
def test_a_run_commits_quick_units_in_few_records_and_later_runs_find_their_rows(
    tmp_path: Path, source: str, output: str
) -> None:
    """Forty units: the first at once, then tens. Rows change, go and are tried again."""
    result = answer(source, output, **GROUPED)
    assert (result.counts.ok, result.counts.errors, result.counts.units) == (36, 4, 40)
    records = list(CommitLog(Storage(output)).each_commit())
    assert sorted(record.units for record in records) == [1, 9, 10, 10, 10]
    runs = sorted(run for record in records for run in record.replaces)
    assert runs == [(1, 10), (11, 20), (21, 30), (31, 39)]
    is_consistent(output, IDS)
    assert answer(source, output, **GROUPED).computed == 0

    rows = [dict(row) for row in ROWS[:-2]] + [{"id": "new", "text": "new"}]
    rows[3]["text"] = "another"
    write_lines(tmp_path / "m.jsonl", rows)
    assert answer(source, output, removed="withdraw", **GROUPED).computed == 2
    is_consistent(output, [row["id"] for row in rows])
    retried = retry_job(recorded_job(output, executor="inline"), make=answering_stages)
    assert (retried.tried, retried.mended) == (3, 0)
    is_consistent(output, [row["id"] for row in rows])


@pytest.mark.usefixtures("by_tens")
def test_an_export_has_the_rows_in_their_order(tmp_path: Path, source: str, output: str) -> None:
    answer(source, output, **GROUPED)
    write_lines(tmp_path / "m.jsonl", [*ROWS, {"id": "z", "text": "last"}])
    answer(source, output, **GROUPED)
    export_run(output, str(tmp_path / "lines"), "jsonl")
    lines = [line for path in Path(tmp_path, "lines").glob("*.jsonl") for line in path.open()]
    assert [json.loads(line)["id"] for line in lines] == [
        *(name for number, name in enumerate(IDS) if number % 13), "z",
    ]  # fmt: skip


@pytest.mark.usefixtures("by_tens")
def test_groups_are_merged_into_one_part_in_the_order_of_their_rows(
    source: str, output: str
) -> None:
    result = answer(source, output, commit_interval_s=LONG_S)
    assert result.counts.units == 40
    assert len(list(Path(output, "data").iterdir())) == 1
    (record,) = CommitLog(Storage(output)).each_commit()
    assert record.units == 40
    is_consistent(output, IDS)


KILLS = [
    (owner, method, lives)
    for owner, method, counts in (
        (CommitLog, "commit", (0, 1, 2, 4)),
        (Storage, "put", (9, 10, 30)),
        (Storage, "create", (1, 2, 3, 4)),
        (Storage, "delete_many", (0, 1, 2, 3)),
    )
    for lives in counts
]


@pytest.mark.usefixtures("by_tens")
@pytest.mark.parametrize(("owner", "method", "lives"), KILLS)
@pytest.mark.parametrize("dies", ["before", "behind"])
def test_a_run_that_is_killed_while_groups_are_committed_loses_and_doubles_nothing(
    source: str, output: str, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, lives: int,
    dies: str,
) -> None:  # fmt: skip
    original, calls = getattr(owner, method), itertools.count()

    def dying(self: Any, *given: Any) -> Any:
        is_last = next(calls) >= lives
        if is_last and dies == "before":
            raise KeyboardInterrupt
        made = original(self, *given)
        if is_last:
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patch, pytest.raises((RunFailed, KeyboardInterrupt)):
        patch.setattr(owner, method, dying)
        answer(source, output, commit_interval_s=LONG_S)
    Storage(output).delete("_log/driver.json")  # the process that held it is gone
    ids = [row["id"] for row in (*committed(output), *read_errors(output))]
    assert len(ids) == len(set(ids))
    result = answer(source, output, commit_interval_s=LONG_S)
    assert result.computed == len(IDS) - len(ids)
    is_consistent(output, IDS)


@pytest.mark.usefixtures("by_tens")
def test_a_run_that_another_one_overtook_is_told_before_it_removes_anything(
    source: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that slept through the loss of its lease commits a group at the last moment."""
    original, late = CommitLog.commit, dict[str, bytes]()

    def overtaken(self: CommitLog, record: Commit, own: bool = True) -> Commit:
        made = original(self, record, own)
        if record.unit == 39:  # the last one of those that are committed one by one
            group = late["record"].replace(b'"unit": 0', b'"unit": 90000000')
            facts = {**json.loads(group), "replaces": [[0, 39]]}
            facts["files"] = dict(json.loads(late["record"])["files"])
            self.storage.create(f"_log/units/{FIRST_MERGED}.json", json.dumps(facts).encode())
        elif record.unit == 0:
            late["record"] = made.to_bytes()
        return made

    with monkeypatch.context() as patch, pytest.raises(RunFailed, match="another run"):
        patch.setattr(CommitLog, "commit", overtaken)
        answer(source, output, commit_interval_s=0, parts={"merge": False})
    assert len(list(Path(output, "_log/units").iterdir())) == 41
