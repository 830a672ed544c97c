"""A large INPUT is planned by portions, and each is run while the next is found."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from pipelines import JobConfig, RunResult, UsageError, run_job
from pipelines.cli.demo import read_results
from pipelines.jobs import run as job_runs
from pipelines.planning import head_start
from pipelines.planning.plan import Plan, make_plan
from pipelines.run_state.status import read_status, verify
from uniaudio2.tasks.table import get_task

FIRST, FILES, ROWS = 2, 30, 3
LONGEST_S = 60.0


def write(folder: Path, number: int, **columns: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    names = [f"{number}-{row}" for row in range(ROWS)]
    table = pa.table({"id": names, "text": names, **columns})
    pq.write_table(table, folder / f"{number:03d}.parquet")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_runs, "FIRST_FILES", FIRST)
    for number in range(FILES):
        write(tmp_path / "in", number)
    return tmp_path / "in"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int]]:
    """How many files were asked for, and rows that were planned."""
    found: list[tuple[int | None, int]] = []

    def noted(*given: Any) -> Plan:
        plan = make_plan(*given)
        found.append((given[-2], plan.rows))
        return plan

    monkeypatch.setattr(job_runs, "make_plan", noted)
    return found


def done(corpus: Path) -> RunResult:
    """Read and written by the real stages, without a model between."""
    out = str(corpus.parent / "out")
    job = JobConfig(
        task="text_only", model="tiny", input=str(corpus), output=out, executor="inline",
        sampling={"max_frames": 1, "greedy": True},
    )  # fmt: skip
    return run_job(job)


def all_ids(files: int = FILES) -> list[str]:
    return sorted(f"{number}-{row}" for number in range(files) for row in range(ROWS))


def ids(corpus: Path) -> list[str]:
    return sorted(row["id"] for row in read_results(str(corpus.parent / "out")))


def records(corpus: Path) -> int:
    return len(list((corpus.parent / "out/_log/units").glob("*.json")))


def wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_first_units_are_done_while_the_rest_is_found(
    corpus: Path, planned: list[tuple[int | None, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(corpus, FILES - 1, speaker=["a", "b", "c"])  # a column that the first do not have
    first = job_runs.make_plan
    seen: list[tuple[str, int, int]] = []

    def after_commits(*given: Any) -> Plan:
        if given[-2] != FIRST:
            wait_for(lambda: records(corpus))
            status = read_status(str(corpus.parent / "out"))
            seen.append((status.state, status.rows, status.later_files))
        return first(*given)

    monkeypatch.setattr(job_runs, "make_plan", after_commits)
    result = done(corpus)
    assert seen[0] == ("running", FIRST * ROWS, FILES - FIRST)
    assert planned == [(FIRST, FIRST * ROWS), (16, FILES * ROWS)]
    assert (result.computed, result.counts.rows, result.counts.ok) == (FILES * ROWS,) * 3
    assert ids(corpus) == all_ids()
    assert verify(result.output) == []
    assert sum(row.get("speaker") is not None for row in read_results(result.output)) == ROWS
    status = read_status(result.output)
    assert (status.state, status.later_files, status.left) == ("finished", 0, 0)
    assert done(corpus).computed == 0
    assert planned[-1] == (None, FILES * ROWS)


def test_portions_grow_until_all_is_there(
    corpus: Path, planned: list[tuple[int | None, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_start, "_GROWTH", 2)
    assert done(corpus).computed == FILES * ROWS
    assert planned == [(2, 6), (4, 12), (8, 24), (16, FILES * ROWS)]
    assert ids(corpus) == all_ids()


def test_a_fault_behind_the_first_files_ends_the_run_which_goes_on_when_it_is_mended(
    corpus: Path,
) -> None:
    twice = pa.table({"id": ["0-0", "7-0"], "text": ["another", "text"]})
    pq.write_table(twice, corpus / "010.parquet")
    with pytest.raises(UsageError, match=r"'0-0'.*done of the first files meanwhile stays"):
        done(corpus)
    before = len(ids(corpus))
    write(corpus, 10)
    result = done(corpus)
    assert result.computed == FILES * ROWS - before
    assert ids(corpus) == all_ids()


def test_a_fault_of_the_first_files_may_be_none_of_all(corpus: Path) -> None:
    for number in range(FIRST):
        pq.write_table(pa.table({"id": [f"{number}"]}), corpus / f"{number:03d}.parquet")
    plan = make_plan(str(corpus), get_task("text_only"), files=FIRST)
    assert (plan.later_files, len(plan.sources)) == (0, FILES)


def test_a_run_that_is_stopped_between_goes_on_with_all(
    corpus: Path, planned: list[tuple[int | None, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> Plan:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(head_start.Portions, "next", gone)
        with pytest.raises(Exception, match="interrupted"):
            done(corpus)
    assert ids(corpus) == all_ids(FIRST)
    result = done(corpus)
    assert planned[-1] == (None, FILES * ROWS)
    assert result.computed == (FILES - FIRST) * ROWS
    assert ids(corpus) == all_ids()


def test_few_files_are_planned_at_once(corpus: Path, planned: list[tuple[int | None, int]]) -> None:
    for number in range(2 * FIRST, FILES):
        (corpus / f"{number:03d}.parquet").unlink()
    assert done(corpus).computed == 2 * FIRST * ROWS
    assert planned == [(FIRST, 2 * FIRST * ROWS)]


def tar(folder: Path, number: int, keys: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    with webdataset.TarWriter(str(folder / f"{number:03d}.tar")) as writer:
        for key in keys:
            writer.write({"__key__": key, "txt": f"text {key} of {number}"})


TARS = 12


@pytest.fixture
def tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Samples whose keys do not repeat, in tars of which the first two are a portion."""
    monkeypatch.setattr(job_runs, "FIRST_FILES", 32)
    for number in range(TARS):
        tar(tmp_path / "in", number, [f"{number}-{row}" for row in range(ROWS)])
    return tmp_path / "in"


def test_the_first_tars_are_done_while_the_others_are_listed(
    tars: Path, planned: list[tuple[int | None, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = job_runs.make_plan
    seen: list[int] = []

    def after_commits(*given: Any) -> Plan:
        if given[-2] != 32:
            wait_for(lambda: records(tars))
            seen.append(read_status(str(tars.parent / "out")).later_files)
        return first(*given)

    monkeypatch.setattr(job_runs, "make_plan", after_commits)
    assert done(tars).computed == TARS * ROWS
    assert seen == [TARS - 2]
    assert planned == [(32, 2 * ROWS), (256, TARS * ROWS)]
    assert ids(tars) == all_ids(TARS)
    assert done(tars).computed == 0


def ids_of(tars: Path) -> dict[str, str]:
    """Ids of results by what their rows held."""
    return {row["input_text"]: row["id"] for row in read_results(str(tars.parent / "out"))}


@pytest.mark.parametrize("fresh", [False, True])
def test_keys_that_repeat_behind_the_first_tars_change_nothing_that_is_done(
    fresh: bool, tars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is done twice, whatever portion tells of them, and a run that goes on agrees."""
    monkeypatch.setattr(head_start, "_GROWTH", 2)
    tar(tars, 3, ["0-0", "new"])  # of the first portion
    tar(tars, 9, ["new", "3-x"])  # of another
    rows = (TARS - 2) * ROWS + 4
    result = done(tars)
    assert result.computed == result.counts.ok == result.counts.rows == rows
    found = ids_of(tars)
    assert found["text 0-0 of 0"] == "0-0"
    assert found["text 0-0 of 3"] == "003/0-0"
    assert found["text new of 3"] == "003/new"
    assert found["text new of 9"] == "new"
    assert len({*found.values()}) == len(found) == rows
    if fresh:  # and one that has all before it names all by their tars, as ever
        (tars.parent / "out").rename(tars.parent / "before")
        monkeypatch.setattr(job_runs, "FIRST_FILES", 1024)
        done(tars)
        assert ids_of(tars)["text 0-0 of 0"] == "000/0-0"
        return
    tar(tars, 20, ["0-1"])
    again = done(tars)
    assert (again.computed, again.counts.rows) == (1, rows + 1)
    assert ids_of(tars) == {**found, "text 0-1 of 20": "020/0-1"}


def test_keys_that_repeat_in_the_first_tars_have_their_names_from_the_start(tars: Path) -> None:
    for number in range(TARS):
        tar(tars, number, ["a", "b"])
    assert done(tars).computed == 2 * TARS
    assert ids(tars) == sorted(f"{number:03d}/{key}" for number in range(TARS) for key in "ab")
    assert done(tars).computed == 0


def test_tars_that_are_stopped_between_keep_the_ids_that_they_had(
    tars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> Plan:
        raise KeyboardInterrupt

    tar(tars, 9, ["0-0", "other"])  # behind the first portion
    with monkeypatch.context() as patched:
        patched.setattr(head_start.Portions, "next", gone)
        with pytest.raises(Exception, match="interrupted"):
            done(tars)
    before = ids_of(tars)
    assert sorted(before.values()) == all_ids(2)
    result = done(tars)
    assert result.computed == (TARS - 3) * ROWS + 2
    assert ids_of(tars).items() >= before.items()
    assert {"0-0", "009/0-0", "009/other"} <= {*ids_of(tars).values()}
