"""Tars that are what they were are not read to go on; what does not hold is read as ever."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import webdataset

from actors.storage.object_store import Storage
from pipelines import JobConfig, RunResult, run_job
from pipelines.cli.demo import read_results
from pipelines.config.input_settings import ManifestConfig
from pipelines.manifest import tar_sources
from pipelines.planning.plan import Plan, make_plan
from pipelines.run_state.commit_record import PLAN
from pipelines.run_state.kept import archives
from pipelines.run_state.kept_plan import KeptPlan
from uniaudio2.tasks.table import get_task

TARS, ROWS = 5, 3


def tar(rows: list[str], text: str = "text") -> bytes:
    sink = io.BytesIO()
    with webdataset.TarWriter(sink, mtime=0) as writer:
        for row in rows:
            facts = {"n": 1, "more": {"deep": [row]}}
            writer.write(
                {"__key__": row, "txt": f"{text} {row}", "json": facts, "jpg": b"a picture"}
            )
    return sink.getvalue()


def put(root: str, number: int, **given: Any) -> None:
    Storage(root).put(
        f"in/{number:02d}.tar", tar([f"{number}-{row}" for row in range(ROWS)], **given)
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of tars that are read."""
    names: list[str] = []
    make = tar_sources.open_archive

    def noted(uri: str, size: int | None = None) -> BinaryIO:
        names.append(uri.rpartition("/")[2])
        return make(uri, size)

    monkeypatch.setattr(tar_sources, "open_archive", noted)
    return names


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    where = str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")
    for number in range(TARS):
        put(where, number)
    return where


def planned(root: str, manifest: ManifestConfig | None = None, limit: int | None = None) -> Plan:
    kept = KeptPlan(Storage(f"{root}/out"))
    plan = make_plan(f"{root}/in", get_task("text_only"), manifest=manifest, limit=limit, kept=kept)
    kept.store(is_whole=limit is None)
    return plan


def is_same(one: Plan, other: Plan) -> bool:
    units = [[(u.fingerprint, u.row_keys, u.read()) for u in plan.units] for plan in (one, other)]
    facts = [(p.notes, p.left_out, p.schema, p.sources) for p in (one, other)]
    return units[0] == units[1] and facts[0] == facts[1]


def test_only_what_changed_or_is_new_is_read(
    root: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_SHARD_ARCHIVES", 2)  # several shards
    first = planned(root)
    assert len(opened) == TARS
    assert str(first.left_out[0]).startswith("15 tar members left out (15 .jpg)")
    opened.clear()
    assert is_same(planned(root), first)
    assert opened == []
    put(root, 1, text="another text of")
    put(root, 9)
    again = planned(root)
    assert sorted(opened) == ["01.tar", "09.tar"]
    assert again.rows == (TARS + 1) * ROWS
    opened.clear()
    assert is_same(planned(root), again)
    assert opened == []
    planned(root, limit=1)  # which keeps nothing, and takes nothing away
    opened.clear()
    assert is_same(planned(root), again)
    assert opened == []


def test_a_listing_is_all_that_a_store_is_asked_for(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiobotocore.client import AioBaseClient

    for number in range(TARS):
        put(bucket, number)
    first = planned(bucket)
    asked: list[str] = []
    make = AioBaseClient._make_api_call

    async def counting(self: object, name: str, facts: dict[str, str]) -> object:
        asked.append(f"{name} {facts.get('Key', '')}")
        return await make(self, name, facts)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counting)
    assert is_same(planned(bucket), first)
    assert not [one for one in asked if ".tar" in one]
    assert len(asked) < 12


def test_other_settings_read_anew(tmp_path: Path, opened: list[str]) -> None:
    put(str(tmp_path), 0)
    planned(str(tmp_path))
    opened.clear()
    planned(str(tmp_path), ManifestConfig(suffixes="all"))
    assert opened == ["00.tar"]


def test_what_could_not_be_read_is_tried_again(tmp_path: Path, opened: list[str]) -> None:
    put(str(tmp_path), 0)
    whole = (tmp_path / "in/00.tar").read_bytes()
    (tmp_path / "in/01.tar").write_bytes(tar(["a", "b"])[:3000])
    for _ in range(2):
        opened.clear()
        assert planned(str(tmp_path)).rows > ROWS
    assert opened == ["01.tar"]
    assert whole == (tmp_path / "in/00.tar").read_bytes()


def shards(out: Path, suffix: str) -> Iterator[Path]:
    yield from (out / PLAN).glob(f"*{suffix}")


def damaged(out: Path) -> None:
    for path in shards(out, ".parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def foreign(out: Path) -> None:
    for path in shards(out, ".json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "seal": "0" * 64}))


def gone(out: Path) -> None:
    for path in shards(out, ".parquet"):
        path.unlink()


@pytest.mark.parametrize("harm", [damaged, foreign, gone])
def test_what_does_not_hold_is_read_as_ever(
    harm: Callable[[Path], None], tmp_path: Path, opened: list[str]
) -> None:
    put(str(tmp_path), 0)
    first = planned(str(tmp_path))
    harm(tmp_path / "out")
    opened.clear()
    assert is_same(planned(str(tmp_path)), first)
    assert opened == ["00.tar"]
    opened.clear()
    assert is_same(planned(str(tmp_path)), first)
    assert opened == []


def done(folder: Path, **given: Any) -> RunResult:
    return run_job(JobConfig(
        task="text_only", model="tiny", input=f"{folder}/in", output=f"{folder}/out",
        executor="inline", sampling={"max_frames": 1, "greedy": True}, **given,
    ))  # fmt: skip


def test_a_run_goes_on_without_reading_its_tars(tmp_path: Path, opened: list[str]) -> None:
    for number in range(TARS):
        put(str(tmp_path), number)
    assert done(tmp_path).computed == TARS * ROWS
    assert done(tmp_path, limit=4).computed == 0
    opened.clear()
    put(str(tmp_path), TARS)
    assert done(tmp_path).computed == ROWS
    assert opened == [f"{TARS:02d}.tar"]
    opened.clear()
    assert done(tmp_path).computed == 0
    assert opened == []
    assert len(read_results(f"{tmp_path}/out")) == (TARS + 1) * ROWS
