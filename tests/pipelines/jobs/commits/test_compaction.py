"""Small parts become large ones while a run goes on; killed anywhere, no row is lost or doubled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.stages.part_file import UNITS_KEY
from actors.storage.object_store import Storage
from benchmarks.driver import answering_stages
from pipelines import JobConfig, RunFailed, RunResult, run_job
from pipelines.cli.demo import read_results
from pipelines.export.export import export_run
from pipelines.jobs.commits import compaction
from pipelines.jobs.retry import recorded_job, retry_job
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import FIRST_MERGED
from tests.pipelines.jobs.test_pending import SPEAK, committed, is_consistent, write_lines
from tests.pipelines.jobs.test_run import read_errors, run

ROWS = [{"id": f"r{n:02d}", "text": f"line {n}" if n % 13 else " "} for n in range(40)]
IDS = [row["id"] for row in ROWS]


def answer(source: str, output: str, **settings: Any) -> RunResult:
    """A run whose language model answers at once; each unit is committed by itself."""
    own = {"executor": "inline", "unit_rows": 1, "model": "tiny", "commit_interval_s": 0}
    settings = {**own, **settings}
    job = JobConfig(task="text_only", input=source, output=output, **settings)
    return run_job(job, make=answering_stages)


def parts(output: str, kind: str = "data") -> list[Path]:
    return sorted(Path(output, kind).glob("*.parquet"))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four records are many, and nobody is reading."""
    for name, value in {"_MANY_PARTS": 4, "FEW_PARTS": 2, "_READERS_TAKE_S": -1.0}.items():
        monkeypatch.setattr(compaction, name, value)


def test_forty_units_end_in_one_part(source: str, output: str) -> None:
    result = answer(source, output)
    assert (result.counts.ok, result.counts.errors, result.counts.units) == (36, 4, 40)
    assert (len(parts(output)), len(parts(output, "errors"))) == (1, 1)
    assert len(list(Path(output, "_log/units").iterdir())) == 1
    is_consistent(output, IDS)
    with pq.ParquetFile(parts(output)[0]) as file:
        units = json.loads(file.metadata.metadata[UNITS_KEY])
    assert units == [[n, 1] for n in range(40) if n % 13]
    assert [row["id"] for row in read_results(output)] == [f"r{n:02d}" for n, _ in units]
    again = answer(source, output)
    assert again.computed == 0
    assert answer(source, output, parts={"merge": False}).computed == 0


def test_few_units_stay_as_they_are_and_so_do_all_where_it_is_asked(
    tmp_path: Path, source: str
) -> None:
    for name, settings in {"few": {"unit_rows": 3}, "asked": {"parts": {"merge": False}}}.items():
        result = answer(source, str(tmp_path / name), **settings)
        records = list(Path(tmp_path / name, "_log/units").iterdir())
        assert len(records) == result.counts.units > 10


@pytest.mark.usefixtures("eager")
def test_what_comes_later_finds_its_rows_in_merged_parts(
    tmp_path: Path, source: str, output: str
) -> None:
    """Rows that are new, changed, gone, failed; and an export of all."""
    answer(source, output)
    assert all(record.unit >= FIRST_MERGED for record in CommitLog(Storage(output)).each_commit())
    rows = [dict(row) for row in ROWS[:-2]] + [{"id": "new", "text": "new"}]
    rows[3]["text"] = "another"
    write_lines(tmp_path / "m.jsonl", rows)
    assert answer(source, output, removed="withdraw").computed == 2
    is_consistent(output, [row["id"] for row in rows])
    texts = {row["id"]: row["text"] for row in read_results(output)}
    assert (texts["r03"], texts["new"], texts["r04"]) == ("another", "new", "line 4")
    retried = retry_job(recorded_job(output, executor="inline"), make=answering_stages)
    assert (retried.tried, retried.mended) == (3, 0)
    assert {row["attempts"] for row in read_errors(output)} == {2}
    is_consistent(output, [row["id"] for row in rows])
    exported = export_run(output, str(tmp_path / "lines.jsonl"), "jsonl")
    assert exported.rows == len(rows) - 3


def test_records_of_format_2_are_merged_too(source: str, output: str) -> None:
    answer(source, output, parts={"merge": False})
    log = CommitLog(Storage(output))
    for record in log.each_commit():
        rows = tuple(key.hex() for key in _keys(record.row_keys))
        old = replace(record, rows=rows, keys="", format_version=2, seal="")
        log.storage.delete(record.path)
        log.commit(old)
    Path(source).write_text(Path(source).read_text() + '{"id": "more", "text": "x"}\n')
    assert answer(source, output).computed == 1
    is_consistent(output, [*IDS, "more"])
    assert len(parts(output)) == 1


def _keys(data: bytes) -> list[bytes]:
    return [data[at : at + 20] for at in range(0, len(data), 20)]


@pytest.mark.usefixtures("eager")
def test_every_row_is_there_while_parts_are_merged(
    source: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads by the records sees each committed row once, after every commit."""
    seen: list[int] = []
    original = CommitLog.commit

    def watched(self: CommitLog, *given: Any) -> Any:
        made = original(self, *given)
        ids = [row["id"] for row in (*committed(output), *read_errors(output))]
        assert len(ids) == len(set(ids))
        seen.append(len(ids))
        return made

    monkeypatch.setattr(CommitLog, "commit", watched)
    answer(source, output)
    assert seen == sorted(seen)
    assert len(seen) > 45  # units and merges


KILLS = [
    (owner, method, lives)
    for owner, method, counts in (
        (CommitLog, "commit", (4, 5, 9, 14)),
        (Storage, "put", (9, 10, 11, 25)),
        (Storage, "create", (5, 6, 10, 20)),
        (Storage, "delete_many", (0, 1, 2, 3, 4, 9)),
    )
    for lives in counts
]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("owner", "method", "lives"), KILLS)
def test_a_run_that_is_killed_while_parts_are_merged_loses_and_doubles_nothing(
    source: str, output: str, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, lives: int
) -> None:
    original, calls = getattr(owner, method), []

    def dying(self: Any, *given: Any) -> Any:
        calls.append(given)
        if len(calls) > lives:
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch, pytest.raises((RunFailed, KeyboardInterrupt)):
        patch.setattr(owner, method, dying)
        answer(source, output)
    Storage(output).delete("_log/driver.json")  # the process that held it is gone
    ids = [row["id"] for row in (*committed(output), *read_errors(output))]
    assert len(ids) == len(set(ids))
    result = answer(source, output)
    assert result.computed == len(IDS) - len(ids)
    is_consistent(output, IDS)


@pytest.mark.usefixtures("eager")
def test_what_was_replaced_holds_no_longer_wherever_it_comes_from(
    source: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that a killed driver left, or that a late one writes, of a unit that was merged."""
    storage, late = Storage(output), dict[str, bytes]()
    original = Storage.create

    def kept(self: Storage, path: str, data: bytes) -> None:
        late[path] = data
        original(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "create", kept)
        answer(source, output)
    path = "_log/units/00000003.json"
    assert not storage.exists(path)
    storage.put(path, late[path])
    assert 3 not in [record.unit for record in CommitLog(storage).each_commit()]
    assert answer(source, output).computed == 0
    assert not storage.exists(path)
    is_consistent(output, IDS)


def test_two_drivers_cannot_both_merge(source: str, output: str) -> None:
    answer(source, output, parts={"merge": False})
    first, other = (_merger(output) for _ in range(2))
    for merger in (first, other):
        for record in merger.commit_log.each_commit():
            merger.found(record)
    first._begin()
    other._begin()
    first._finish_work()
    with pytest.raises(RunFailed, match="committed by another run"):
        other._finish_work()
    ids = [row["id"] for row in (*committed(output), *read_errors(output))]
    assert sorted(ids) == IDS


def _merger(output: str) -> compaction.Compaction:
    from pipelines.executor.inline_executor import InlineExecutor
    from pipelines.jobs.commits.committer import Committer

    log = CommitLog(Storage(output))
    return compaction.Compaction(
        log, Committer(log, each_channel=False), InlineExecutor(), 1 << 20, lambda *_: None
    )


@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_a_part_that_is_not_as_written_is_left_alone_and_said(
    source: str, output: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(source, output, parts={"merge": False})
    part = parts(output)[0]
    part.write_bytes(part.read_bytes()[:-1]) if fault == "damaged" else part.unlink()
    job = JobConfig(
        task="text_only", input=source, output=output, model="tiny", executor="inline", unit_rows=1,
        commit_interval_s=0,
    )  # fmt: skip
    Path(source).write_text(Path(source).read_text() + '{"id": "more", "text": "x"}\n')
    assert run_job(job, style="lines", make=answering_stages).computed == 1
    assert "parts were not merged" in capsys.readouterr().out
    assert len(list(Path(output, "_log/units").iterdir())) == 41


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("layout", ["files", "tar"])
def test_sounds_stay_with_their_rows(tmp_path: Path, output: str, layout: str) -> None:
    rows = [{"id": f"r{n}", "text": f"line {n}"} for n in range(7)]
    source = write_lines(tmp_path / "m.jsonl", rows)
    settings = {**SPEAK, "audio_layout": layout, "unit_rows": 1}
    run("tts", source, output, **settings)
    assert len(parts(output)) <= 2
    is_consistent(output, [row["id"] for row in rows])
    rows[2]["text"] = "another"
    write_lines(tmp_path / "m.jsonl", rows)
    assert run("tts", source, output, **settings).computed == 1
    is_consistent(output, [row["id"] for row in rows])
