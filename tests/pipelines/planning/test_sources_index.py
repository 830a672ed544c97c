"""Many sources are read at once, and what comes of it is what reading them in order gives."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
