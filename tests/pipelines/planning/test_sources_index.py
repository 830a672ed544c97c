"""Many sources are read at once, and what comes of it is what reading them in order gives."""

from __future__ import annotations

import os
import posixpath
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.prefetch.in_processes import Memory, Readers
from actors.storage.object_store import Storage
from pipelines.config.input_settings import InputRules, ManifestConfig
from pipelines.errors import UsageError
from pipelines.manifest import sources as manifest_sources
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.sources import parquet_source
from pipelines.planning import sources_index
from pipelines.planning.plan import Plan, make_plan
from uniaudio2.tasks.table import get_task

SHARDS, ROWS = 12, 30


def write(folder: Path, number: int, ids: list[str] | None = None) -> None:
    names = ids or [f"{number}-{row}" for row in range(ROWS + number)]
    table = pa.table({"id": names, "audio": [f"{name}.wav" for name in names]})
    pq.write_table(table, folder / f"{number:03d}.parquet", row_group_size=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "in"
    found.mkdir()
    for number in range(SHARDS):
        write(found, number)
        (found / f"{number}-0.wav").write_bytes(b"RIFF")
    return found


def told(plan: Plan) -> list[tuple[object, ...]]:
    """All of the units but the folder that they lie in."""
    return [
        (u.unit, posixpath.basename(u.source), u.start, u.stop, u.keys, u.fingerprint)
        for u in plan.units
    ]


def test_the_plan_is_that_of_one_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asr = get_task("asr")
    many = make_plan(str(folder), asr)
    limited = make_plan(str(folder), asr, limit=100)
    monkeypatch.setattr(manifest_sources, "_LOCAL_THREADS", 1)
    monkeypatch.setattr(sources_index, "_LARGE_ROWS", 35)  # some are read when it is their turn
    assert many == make_plan(str(folder), asr)
    assert limited == make_plan(str(folder), asr, limit=100)
    assert [unit.unit for unit in many.units] == list(range(len(many.units)))


@pytest.mark.parametrize("pattern", ["", "/*.parquet"])
def test_shards_of_a_store_are_known_by_its_listing(
    folder: Path, bucket: str, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, named = Storage(f"{bucket}/in"), ManifestConfig(map={"text": "audio"})
    for path in sorted(folder.glob("*.parquet")):
        storage.put(path.name, path.read_bytes())
    one_by_one = [parquet_source(storage.uri(path.name)) for path in folder.glob("*.parquet")]

    def identity(uri: str) -> str:
        raise AssertionError("sizes and ETags are those of the listing")

    monkeypatch.setattr(manifest_sources, "identity", identity)
    found = find_sources(f"{bucket}/in{pattern}")
    assert sorted(found, key=lambda source: source.uri) == sorted(
        one_by_one, key=lambda source: source.uri
    )
    plan = make_plan(f"{bucket}/in{pattern}", get_task("tts"), manifest=named)
    monkeypatch.undo()
    assert told(plan) == told(make_plan(f"{folder}{pattern}", get_task("tts"), manifest=named))


def test_the_first_faulty_source_in_order_is_told(folder: Path) -> None:
    for number in (9, 4):
        write(folder, number, ["a", ""])
    with pytest.raises(UsageError, match=r"004.parquet: row 1 has no id"):
        make_plan(str(folder), get_task("asr"))
    (folder / "011.parquet").write_bytes(b"PAR1 cut short")
    (folder / "007.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(UsageError, match=r"007.parquet: .*a readable Parquet file is needed"):
        make_plan(str(folder), get_task("asr"))


def test_addresses_are_told_as_if_sources_were_read_in_order(folder: Path, bucket: str) -> None:
    storage = Storage(f"{bucket}/in")
    for number in (3, 5, 8):
        write(folder, number, [f"s3://other-{number}/{name}" for name in "ab"])
    for path in sorted(folder.glob("*.parquet")):
        storage.put(path.name, path.read_bytes())
    with pytest.raises(UsageError, match=r"6 addresses .*other-3/a.*other-3/b") as caught:
        make_plan(storage.root, get_task("asr"))
    assert "other-5" not in str(caught.value)
    assert make_plan(storage.root, get_task("asr"), rules=InputRules(refused="rows")).rows


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Shards whose rows name no files; some have another column, and one holds bytes of sounds."""
    found = tmp_path / "texts"
    found.mkdir()
    for number in range(SHARDS):
        table = pa.table({
            "id": [f"{number}-{row}" for row in range(ROWS + number)],
            "text": [f"text {row}" for row in range(ROWS + number)],
        })  # fmt: skip
        if number % 5 == 4:
            table = table.append_column("speaker", pa.array(["one"] * table.num_rows))
        pq.write_table(table, found / f"{number:03d}.parquet")
    return found


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    """Processes that are worth their start for a file, and are given three at once."""
    for module in (manifest_sources, sources_index):
        monkeypatch.setattr(module, "AT_ONCE", 3)
    with closing(Readers(2, many=1)) as made:
        yield made


@pytest.mark.parametrize("where", ["disk", "store"])
def test_the_plan_of_processes_is_that_of_one(
    texts: Path, bucket: str, readers: Readers, where: str
) -> None:
    uri = str(texts)
    if where == "store":
        storage = Storage(bucket)
        for file in sorted(texts.iterdir()):
            storage.put(f"many/{file.name}", file.read_bytes())
        uri = f"{bucket}/many"
    told_calls: list[str] = []
    call = readers.call
    readers.call = lambda number, function, *given: (  # type: ignore[method-assign, assignment, misc]
        told_calls.append(function.__name__), call(number, function, *given)
    )[1]  # fmt: skip
    made = make_plan(uri, get_task("tts"), readers=readers)
    assert made == make_plan(uri, get_task("tts"))
    assert sorted({*told_calls}) == ["_index_beside", "_read_beside"]
    assert make_plan(uri, get_task("tts"), limit=100, readers=readers) == make_plan(
        uri, get_task("tts"), limit=100
    )


def test_rows_that_name_files_are_looked_at_by_this_process(folder: Path, readers: Readers) -> None:
    asr = get_task("asr")
    assert make_plan(str(folder), asr, readers=readers) == make_plan(str(folder), asr)


def test_the_first_fault_in_order_is_that_of_threads(texts: Path, readers: Readers) -> None:
    for number in (4, 7):
        (texts / f"{number:03d}.parquet").write_bytes(b"PAR1 and nothing of it PAR1")
    faults = []
    for given in (None, readers):
        with pytest.raises(UsageError) as fault:
            make_plan(str(texts), get_task("tts"), readers=given)
        faults.append(str(fault.value))
    assert faults[0] == faults[1]
    assert "004.parquet" in faults[0]


def _dies(memory: Memory, driver: int) -> None:
    del memory
    if os.getpid() != driver:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_costs_no_row(texts: Path, readers: Readers) -> None:
    readers.call(1, _dies, os.getpid())
    made = make_plan(str(texts), get_task("tts"), readers=readers)
    assert made == make_plan(str(texts), get_task("tts"))
