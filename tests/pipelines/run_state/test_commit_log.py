"""The commit log: one record a unit, never two; orphans do not exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.batch.receipt import Receipt, file_mark
from actors.storage.object_store import Storage
from pipelines.errors import RunFailed, UsageError
from pipelines.run_state.commit_log import CommitLog, committed_parts
from pipelines.run_state.commit_record import Commit, merge_receipts


@pytest.fixture(params=["local", "s3"])
def commit_log(request: pytest.FixtureRequest, tmp_path: Path) -> CommitLog:
    root = str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket") + "/o"
    return CommitLog(Storage(root))


def commit(unit: int, attempt: str = "aa") -> Commit:
    place = f"{unit:08d}-{attempt * 4}"
    data = f"data/part-{place}.parquet"
    receipt = Receipt(
        unit,
        ok=2,
        errors=1,
        files={data: file_mark(b"x")},
        kinds={"too_long": 1},
        data=(data,),
        error_parts=(f"errors/part-{place}.parquet",),
        audio=f"audio/{place}",
        input_s=1.5,
        output_s=0.5,
    )
    return merge_receipts(unit, "f", [receipt])


def commits(commit_log: CommitLog) -> dict[int, Commit]:
    return {record.unit: record for record in commit_log.each_commit()}


def test_a_unit_is_committed_once(commit_log: CommitLog) -> None:
    commit_log.commit(commit(3))
    with pytest.raises(RunFailed, match="unit 3 was committed by another run"):
        commit_log.commit(commit(3, "bb"))
    assert commits(commit_log) == {3: commit(3)}


def test_orphans_are_invisible_and_swept(commit_log: CommitLog) -> None:
    for place in ("00000003-aaaaaaaa", "00000003-bbbbbbbb"):
        for path in (
            f"data/part-{place}.parquet",
            f"errors/part-{place}.parquet",
            f"audio/{place}/x-1.flac",
        ):
            commit_log.storage.put(path, b"x")
    commit_log.storage.put("audio/00000003-bbbbbbbb/notes.txt", b"the user's own")
    commit_log.storage.put(f"_log/fence-{'0' * 32}", b"first")
    left_by_a_kill = f"data/part-00000003-aaaaaaaa.parquet.{'0' * 32}.tmp"
    commit_log.storage.put(left_by_a_kill, b"x")
    commit_log.storage.put("_tokens/00000003-0123456789abcdef.arrow", b"x")
    commit_log.commit(commit(3))
    assert committed_parts(commit_log.storage.root) == [
        commit_log.storage.uri("data/part-00000003-aaaaaaaa.parquet")
    ]
    assert commit_log.sweep() == 6
    left = [path for kind in ("data", "errors", "audio") for path in commit_log.storage.list(kind)]
    assert left.pop() == "audio/00000003-bbbbbbbb/notes.txt"
    assert len(left) == 3
    assert all("aaaaaaaa" in path for path in left)


USERS_FILES = ("data/corpus.parquet", "data/part-0.parquet", "audio/me.wav", "errors/log.txt")


def test_files_of_the_user_are_never_removed(commit_log: CommitLog) -> None:
    for path in USERS_FILES:
        commit_log.storage.put(path, b"mine")
    commit_log.clear()  # --fresh into a folder that no run of ours has made
    commit_log.write_run({"job": {}})
    commit_log.sweep()
    commit_log.clear()
    assert set(commit_log.storage.list("")) == set(USERS_FILES)


def test_rows_that_were_tried_alone_make_one_commit() -> None:
    first, other = "data/part-00000007-aaaaaaaa.parquet", "data/part-00000007-bbbbbbbb.parquet"
    bad = "errors/part-00000007-cccccccc.parquet"
    single = Receipt(7, 1, 0, {first: [1, "a"]}, {}, row=0, data=(first,))
    crashed = Receipt(7, 0, 1, {bad: [2, "b"]}, {"crash": 1}, row=1, error_parts=(bad,))
    merged = merge_receipts(7, "f", [single, crashed, replace(single, data=(other,))])
    assert (merged.ok, merged.errors, merged.data) == (2, 1, (first, other))
    assert (merged.kinds, sorted(merged.files)) == ({"crash": 1}, [first, bad])
    assert Commit.from_bytes(merged.to_bytes()) == merged


def test_what_storage_lost_or_changed_is_found(commit_log: CommitLog) -> None:
    record = commit(3)
    commit_log.commit(record)
    (path,) = record.files
    assert commit_log.verify() == [f"{path} is missing"]
    commit_log.storage.put(path, b"x")
    assert commit_log.verify() == []
    commit_log.storage.put(path, b"y")
    assert commit_log.verify() == [f"{path} differs from its commit record"]


def test_a_withdrawn_unit_can_be_committed_again(commit_log: CommitLog) -> None:
    commit_log.commit(commit(3))
    commit_log.withdraw([3])
    commit_log.commit(commit(3, "bb"))
    assert commits(commit_log) == {3: commit(3, "bb")}


def test_of_a_units_records_the_last_one_holds(commit_log: CommitLog) -> None:
    first, second = commit(3), replace(commit(3, "bb"), generation=1)
    commit_log.commit(commit(2))
    commit_log.commit(first)
    commit_log.commit(second)
    assert commits(commit_log) == {2: commit(2), 3: second}
    with pytest.raises(RunFailed, match="unit 3 was committed by another run"):
        commit_log.commit(replace(commit(3, "cc"), generation=1))
    assert [record.unit for record in commit_log.each_commit()] == [2, 3]
    commit_log.sweep()
    names = [path.rpartition("/")[2] for path in commit_log.storage.list("_log/units")]
    assert names == ["00000002.json", "00000003-0001.json"]
    assert commits(commit_log)[3] == second


@pytest.mark.parametrize("remove", [lambda commit_log: commit_log.withdraw([3]), CommitLog.clear])
def test_a_kill_while_records_go_lets_no_older_one_hold(
    commit_log: CommitLog, monkeypatch: pytest.MonkeyPatch, remove: Callable[[CommitLog], None]
) -> None:
    """The first record goes, then the process: the second must still hold, with its parts."""
    second = replace(commit(3, "bb"), generation=1)
    commit_log.write_run({"job": {}})
    commit_log.storage.put("data/part-00000003-bbbbbbbb.parquet", b"x")
    commit_log.commit(commit(3))
    commit_log.commit(second)
    delete, gone = Storage.delete, []

    def once(storage: Storage, path: str) -> None:
        if gone:
            raise KeyboardInterrupt
        gone.append(path)
        delete(storage, path)

    monkeypatch.setattr(Storage, "delete", once)
    with pytest.raises(KeyboardInterrupt):
        remove(commit_log)
    assert commits(commit_log) == {3: second}
    assert commit_log.storage.list("data") != []


def test_clear_leaves_nothing(commit_log: CommitLog) -> None:
    commit_log.write_run({"job": {}})
    commit_log.storage.put("data/part-00000000-aaaaaaaa.parquet", b"x")
    commit_log.storage.put("report.html", b"x")
    commit_log.commit(commit(0))
    commit_log.commit(replace(commit(0), generation=1))
    commit_log.clear()
    assert commit_log.storage.list("") == []
    assert commit_log.read_run() is None


@pytest.mark.parametrize("content", [b"not json", b"[]", b"{}"])
def test_a_foreign_run_json_is_refused(commit_log: CommitLog, content: bytes) -> None:
    commit_log.storage.put("run.json", content)
    with pytest.raises(UsageError, match="not a run record"):
        commit_log.read_run()


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_commit_record(data: bytes) -> None:
    with pytest.raises(RunFailed, match="not a commit record"):
        Commit.from_bytes(data)


@given(st.sampled_from(sorted(vars(commit(0)))), st.one_of(st.none(), st.text(), st.booleans()))
def test_a_record_with_a_wrong_value_is_refused_or_whole(name: str, value: object) -> None:
    facts = json.loads(commit(0).to_bytes()) | {name: value}
    try:
        record = Commit.from_bytes(json.dumps(facts).encode())
    except RunFailed:
        return
    assert isinstance(record.unit, int)
    assert all(isinstance(path, str) for path in (*record.data, *record.error_parts))
