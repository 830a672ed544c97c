"""Units are cut so that none is more than is stated, in rows, seconds and bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.cli.demo import read_results
from pipelines.manifest.tables.options import IdsBefore
from pipelines.planning.keys.indexed_rows import IndexedRows
from pipelines.planning.keys.row_keys import KEY_BYTES, key_array
from pipelines.planning.plan import make_plan
from pipelines.planning.units.cutting import UnitBounds, units_of
from pipelines.run_state.kept_plan import KeptPlan
from tests.conftest import tone, wav_bytes
from tests.pipelines.manifest.tars.test_tar_index import plain_tar
from uniaudio2.tasks.table import get_task

TASK = get_task("tokenize")


def rows(seconds: list[float], sizes: list[int]) -> IndexedRows:
    keys = key_array([bytes(KEY_BYTES * len(sizes))])
    return IndexedRows(
        keys, b"", np.array(seconds), np.zeros(0, np.uint64), np.array(sizes, np.int64)
    )


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 100)), max_size=60),
    st.integers(1, 9), st.integers(1, 200), st.integers(1, 7),
)  # fmt: skip
def test_no_unit_is_more_than_stated_and_none_could_be_larger(
    told: list[tuple[float, int]], most: int, most_bytes: int, step: int
) -> None:
    bounds = UnitBounds(most, seconds=100.0, unknown_s=20.0, bytes=most_bytes)
    batches = [told[at : at + step] for at in range(0, len(told), step)]
    units = list(units_of((rows(*map(list, zip(*one, strict=True))) for one in batches), bounds))
    assert [size for unit in units for size in unit.sizes] == [size for _, size in told]
    weights = [np.where(unit.seconds > 0, unit.seconds, 20.0) for unit in units]
    for unit, weight, after, after_s in zip(
        units, weights, [*units[1:], None], [*weights[1:], None], strict=False
    ):
        assert len(unit) == 1 or (
            len(unit) <= most and unit.sizes.sum() <= most_bytes and weight.sum() <= 100.001
        )
        if after is not None and after_s is not None:  # its first row had no place
            assert (
                len(unit) == most
                or unit.sizes.sum() + after.sizes[0] > most_bytes
                or weight.sum() + after_s[0] > 99.999
            )


def parquet(folder: str, with_id: bool, **columns: list[float]) -> str:
    draws = np.random.default_rng(0)
    sounds = [{"bytes": draws.bytes(100_000), "path": None} for _ in range(16)]
    ids = {"id": [f"{number}" for number in range(16)]} if with_id else {}
    sink = io.BytesIO()
    pq.write_table(pa.table({**ids, "audio": sounds, **columns}), sink)
    Storage(folder).put("in/a.parquet", sink.getvalue())
    return f"{folder}/in/a.parquet"


def in_tar(folder: str) -> str:
    data = plain_tar([(f"{number}.wav", 100_000) for number in range(16)])
    Storage(folder).put("in/a.tar", data)
    return f"{folder}/in/a.tar"


def loose(folder: str) -> str:
    for number in range(16):
        Storage(folder).put(f"in/{number}.wav", bytes(100_000))
    return f"{folder}/in"


INPUTS: list[Callable[[str], str]] = [
    lambda folder: parquet(folder, with_id=True), lambda folder: parquet(folder, with_id=False),
    # they are held whatever is known of their length
    lambda folder: parquet(folder, with_id=True, duration=[1.0] * 16), in_tar, loose,
]  # fmt: skip


@pytest.mark.parametrize("make", INPUTS)
@pytest.mark.parametrize("where", ["local", "s3"])
def test_units_have_no_more_bytes_than_asked_for(
    where: str, make: Callable[[str], str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    uri = make(folder)
    kept = KeptPlan(Storage(f"{folder}/out"))
    plan = make_plan(uri, TASK, unit_bytes=410_000, unit_rows=12, kept=kept)
    assert {unit.stop - unit.start for unit in plan.units} == {4}
    kept.store()
    again = make_plan(uri, TASK, unit_bytes=410_000, kept=KeptPlan(Storage(f"{folder}/out")))
    assert [unit.stop for unit in again.units] == [
        unit.stop for unit in make_plan(uri, TASK, unit_bytes=410_000).units
    ]
    assert len(make_plan(uri, TASK, unit_rows=12).units) == 2
    former = make_plan(uri, TASK, unit_rows=12, ids_before=IdsBefore(former=True), unit_bytes=1)
    assert len(former.units) == 2  # whose records tell units by their places


def test_files_of_known_length_are_not_counted_by_their_size(tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(bytes(1 << 20))
    spans = "".join(f'{{"id": "{n}", "audio": "long.wav", "start_s": {n}, "end_s": {n + 1}}}\n'
                    for n in range(8))  # fmt: skip
    (tmp_path / "m.jsonl").write_text(spans)
    assert len(make_plan(f"{tmp_path}/m.jsonl", TASK, unit_rows=8, unit_bytes=1 << 20).units) == 1


def test_a_run_that_goes_on_with_other_bounds_does_nothing_twice(tmp_path: Path) -> None:
    sounds = [wav_bytes(tone(0.2 + n / 100)) for n in range(6)]
    table = pa.table({"id": [str(n) for n in range(6)], "audio": sounds, "text": ["a"] * 6})
    pq.write_table(table, tmp_path / "m.parquet")

    def done(unit_bytes: int, task: str = "text_only") -> tuple[int, int]:
        result = run_job(JobConfig(
            task=task, model="tiny", input=f"{tmp_path}/m.parquet", output=f"{tmp_path}/out",
            executor="inline", unit_bytes=unit_bytes, sampling={"max_frames": 1, "greedy": True},
        ))  # fmt: skip
        return result.computed, len(read_results(f"{tmp_path}/out"))

    assert done(1) == (6, 6)
    assert done(256 << 20) == (0, 6)
