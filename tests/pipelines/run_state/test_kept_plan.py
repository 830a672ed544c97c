"""The plan that an OUTPUT keeps is used where it holds, and is never believed where it does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.config.input_settings import ManifestConfig
from pipelines.manifest import sources as manifest_sources
from pipelines.planning import sources_index
from pipelines.planning.plan import Plan, make_plan
from pipelines.run_state.commit_log import CommitLog
from pipelines.run_state.commit_record import PLAN
from pipelines.run_state.kept import shards as module
from pipelines.run_state.kept_plan import kept_plan
from uniaudio2.tasks.table import get_task

FILES, ROWS = 4, 50


def write(folder: Path, number: int, rows: int = ROWS) -> None:
    ids = [f"{number}-{row}" if row % 2 else f"{number}-{row}/ch0" for row in range(rows)]
    columns = {"id": ids, "text": ids, "duration": [row / 4 for row in range(rows)]}
    pq.write_table(pa.table(columns), folder / f"{number}.parquet")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(FILES):
        write(folder, number)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    found = tmp_path / "out"
    found.mkdir()
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files whose footers or rows are read, by their names."""
    names: list[str] = []

    def noting(function: Callable[..., Any], address: Callable[[Any], str]) -> Callable[..., Any]:
        def noted(first: Any, *others: Any) -> Any:
            names.append(Path(address(first)).stem)
            return function(first, *others)

        return noted

    rows, footer = sources_index.index_rows, manifest_sources.parquet_source
    monkeypatch.setattr(sources_index, "index_rows", noting(rows, lambda source: source.uri))
    monkeypatch.setattr(manifest_sources, "parquet_source", noting(footer, lambda uri: uri))
    return names


def planned(corpus: Path, out: Path, limit: int | None = None, **names: str) -> Plan:
    storage = Storage(str(out))
    recorded = {} if any(out.rglob("*.parquet")) else None
    kept = kept_plan(storage, recorded, fresh=False)
    manifest = ManifestConfig(map=names)
    plan = make_plan(str(corpus), get_task("tts"), None, limit, manifest=manifest, kept=kept)
    assert kept is not None
    kept.store()
    return plan


def told(plan: Plan) -> list[tuple[object, ...]]:
    return [(u.unit, u.source, u.start, u.stop, u.keys, u.fingerprint) for u in plan.units]


def test_what_is_kept_is_not_read_again(corpus: Path, out: Path, read: list[str]) -> None:
    first = planned(corpus, out)
    assert sorted(read) == sorted([str(number) for number in range(FILES)] * 2)
    read.clear()
    again = planned(corpus, out)
    assert read == []
    assert told(again) == told(first)
    assert (again.rows, again.schema, again.has_channel_ids) == (FILES * ROWS, first.schema, False)


@pytest.mark.parametrize("shard_rows", [7, 64, 1000])
def test_sources_that_lie_in_several_shards(
    corpus: Path, out: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, shard_rows: int
) -> None:
    monkeypatch.setattr(module, "_SHARD_ROWS", shard_rows)
    monkeypatch.setattr("pipelines.planning.row_index._BATCH_ROWS", 10)
    first = planned(corpus, out)
    read.clear()
    assert told(planned(corpus, out)) == told(first)
    assert told(planned(corpus, out, limit=77)) == told(
        make_plan(str(corpus), get_task("tts"), None, 77)
    )
    assert read.count("0") == 2  # by the plan that keeps nothing
    assert (
        len(list(out.rglob("*.json")))
        == len(list(out.rglob("*.parquet")))
        >= 200 // (shard_rows + 10)
    )


def test_what_is_new_or_changed_is_read_alone(corpus: Path, out: Path, read: list[str]) -> None:
    planned(corpus, out)
    write(corpus, 7)
    write(corpus, 2, ROWS + 5)
    read.clear()
    plan = planned(corpus, out)
    assert sorted(read) == ["2", "2", "7", "7"]
    assert told(plan) == told(make_plan(str(corpus), get_task("tts")))
    (corpus / "0.parquet").unlink()
    os.utime(corpus / "1.parquet", (1, 1))
    read.clear()
    assert planned(corpus, out).rows == (FILES) * ROWS + 5
    assert read == ["1", "1"]


def test_other_settings_read_anew(corpus: Path, out: Path, read: list[str]) -> None:
    planned(corpus, out)
    read.clear()
    plan = planned(corpus, out, text="id", other="text")
    assert sorted(read) == [str(number) for number in range(FILES)]  # rows, but no footers
    assert told(plan) == told(
        make_plan(
            str(corpus),
            get_task("tts"),
            manifest=ManifestConfig(map={"text": "id", "other": "text"}),
        )
    )


def damaged(out: Path, suffix: str) -> None:
    for path in (out / PLAN).glob(f"*{suffix}"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def other_version(out: Path) -> None:
    for path in (out / PLAN).glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))


def strangers(out: Path) -> None:
    for path in (out / PLAN).glob("*.json"):
        facts = json.loads(path.read_text())
        facts["sources"][0][2] += 1
        path.write_text(json.dumps(facts))


def no_json(out: Path) -> None:
    for path in (out / PLAN).glob("*.json"):
        path.write_text("[" * 100_000)


def missing(out: Path) -> None:
    for path in (out / PLAN).glob("*.parquet"):
        path.unlink()


@pytest.mark.parametrize("harm", [
    lambda out: damaged(out, ".parquet"), lambda out: damaged(out, ".json"), other_version,
    strangers, no_json, missing,
])  # fmt: skip
def test_what_does_not_hold_is_read_anew(
    corpus: Path, out: Path, read: list[str], harm: Callable[[Path], None]
) -> None:
    first = planned(corpus, out)
    harm(out)
    read.clear()
    storage = Storage(str(out))
    kept = kept_plan(storage, {}, fresh=False)
    plan = make_plan(str(corpus), get_task("tts"), kept=kept)
    assert told(plan) == told(first)
    assert set(read) == {str(number) for number in range(FILES)}
    assert kept is not None
    kept.store()
    read.clear()
    assert told(planned(corpus, out)) == told(first)
    assert read == []


def test_a_plan_copied_to_another_place_is_a_strangers(
    corpus: Path, out: Path, tmp_path: Path, read: list[str]
) -> None:
    planned(corpus, out)
    out.rename(tmp_path / "elsewhere")
    read.clear()
    planned(corpus, tmp_path / "elsewhere")
    assert set(read) == {str(number) for number in range(FILES)}


def test_what_a_killed_run_left_goes_and_others_files_stay(corpus: Path, out: Path) -> None:
    planned(corpus, out)
    (path,) = (out / PLAN).glob("*.parquet")
    leftovers = [path.with_name(f"{path.name}.{'a' * 32}.tmp"), path.with_name(f"{'b' * 16}.json")]
    mine = path.with_name("notes.txt")
    for other in (*leftovers, mine):
        other.write_text("{}")
    planned(corpus, out)
    assert [other.exists() for other in (*leftovers, mine, path)] == [False, False, True, True]


def test_rows_that_name_files_are_not_kept(corpus: Path, out: Path) -> None:
    """A file may change while the manifest that names it stays what it is."""
    table = pa.table({"id": ["a"], "audio": ["a.wav"]})
    pq.write_table(table, corpus / "m.parquet")
    kept = kept_plan(Storage(str(out)), None, fresh=False)
    make_plan(str(corpus / "m.parquet"), get_task("asr"), kept=kept)
    assert kept is not None
    kept.store()
    assert list(out.rglob("*.parquet")) == []


def test_a_run_goes_on_without_reading_its_input(
    tmp_path: Path, out: Path, read: list[str]
) -> None:
    write(tmp_path, 0, 3)
    write(tmp_path, 1, 2)
    job = JobConfig(
        task="text_only", model="tiny", input=f"{tmp_path}/*.parquet", output=str(out),
        executor="inline",
    )  # fmt: skip
    assert run_job(job).computed == 5
    assert sorted(read) == ["0", "0", "1", "1"]
    read.clear()
    again = run_job(job)
    assert (again.counts.ok, again.computed, read) == (5, 0, [])
    write(tmp_path, 9, 4)
    assert run_job(job).computed == 4
    assert read == ["9", "9"]
    assert run_job(job, fresh=True).computed == 9


def test_an_output_of_an_earlier_build_keeps_none(out: Path) -> None:
    """Its records may know rows by what a plan does not keep."""
    assert kept_plan(Storage(str(out)), {"state": "running"}, fresh=False) is None
    assert kept_plan(Storage(str(out)), {"state": "running"}, fresh=True) is not None
    assert CommitLog(Storage(str(out))).read_run() is None


def test_a_source_whose_shards_hold_in_part_is_read_from_there_on(
    corpus: Path, out: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARD_ROWS", 20)
    monkeypatch.setattr("pipelines.planning.row_index._BATCH_ROWS", 15)
    uri = corpus / "0.parquet"
    first = planned(uri, out)
    shards = [json.loads(path.read_text()) for path in out.rglob("*.json")]
    (second,) = [one["shard"] for one in shards if one["sources"][0][7] == 30]
    (out / f"{second}.parquet").write_bytes(b"PAR1")
    read.clear()
    again = planned(uri, out)
    assert told(again) == told(first)
    assert (again.rows, read) == (ROWS, ["0"])
    read.clear()
    assert told(planned(uri, out)) == told(first)
    assert read == []
