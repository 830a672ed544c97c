"""Folders that table engines write: their partitions are columns, their leftovers are no rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from actors.batch.row_hashes import row_hashes
from actors.stages.load import Loader
from actors.storage.object_store import Storage
from pipelines import JobConfig, run_job
from pipelines.errors import UsageError
from pipelines.planning.plan import Plan, make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task

TTS = get_task("tts")


def put(root: str, name: str, rows: dict[str, list[Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), sink)
    Storage(root).put(name, sink.getvalue().to_pybytes())


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    rows = [row for unit in plan.units for row in unit.read().to_pylist()]
    assert {name for row in rows for name in row} <= set(plan.schema.names)
    return rows


@pytest.mark.parametrize("where", ["local", "s3"])
def test_hive_partitions_are_columns(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    put(root, "m/language=de/year=2024/a.parquet", {"id": ["a"], "text": ["x"]})
    put(root, "m/language=pt%2DBR/year=2025/b.parquet", {"id": ["b", "c"], "text": ["y", "z"]})
    put(
        root, "m/language=__HIVE_DEFAULT_PARTITION__/year=7/c.parquet", {"id": ["d"], "text": ["v"]}
    )
    wanted = [
        {"id": "d", "text": "v", "language": None, "year": 7},
        {"id": "a", "text": "x", "language": "de", "year": 2024},
        {"id": "b", "text": "y", "language": "pt-BR", "year": 2025},
        {"id": "c", "text": "z", "language": "pt-BR", "year": 2025},
    ]
    for uri in (f"{root}/m", f"{root}/m/language=*/year=*/*.parquet"):
        plan = make_plan(uri, TTS)
        assert rows_of(plan) == wanted
        assert plan.schema.field("language").type == pa.string()
        assert plan.schema.field("year").type == pa.int64()
        assert "columns: language (text), year (whole numbers)" in plan.notes[0]
    for uri in (f"{root}/m/language=de", f"{root}/m/language=de/year=2024/a.parquet"):
        assert rows_of(make_plan(uri, TTS)) == wanted[1:2]


def test_what_pyarrow_writes_comes_back(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "speaker": f"s{n % 2}", "day": n % 3} for n in range(12)]
    ds.write_dataset(
        pa.Table.from_pylist(rows), tmp_path / "m", format="parquet",
        partitioning=["speaker", "day"], partitioning_flavor="hive",
    )  # fmt: skip
    plan = make_plan(str(tmp_path / "m"), TTS, unit_rows=1)
    found = rows_of(plan)
    assert sorted(map(str, found)) == sorted(map(str, rows))
    loaded = [Loader(TTS, passthrough_schema(plan.schema))(unit.to_table()) for unit in plan.units]
    ids = [name for table in loaded for name in table["id"].to_pylist()]
    assert ids == row_hashes(pa.Table.from_pylist(found, plan.schema))  # of all columns
    assert len(set(ids)) == 12


def test_partitions_reach_the_results(tmp_path: Path) -> None:
    put(str(tmp_path), "m/language=de/a.parquet", {"id": ["a"], "text": ["x"]})
    put(str(tmp_path), "m/language=en/a.parquet", {"id": ["b"], "text": [""]})
    job = JobConfig(
        task="tts", input=str(tmp_path / "m"), output=str(tmp_path / "out"),
        executor="inline", until="generate", sampling={"max_frames": 8},  # type: ignore[arg-type]
    )  # fmt: skip
    assert run_job(job).counts.ok == 1
    (row,) = pq.read_table(tmp_path / "out/data").to_pylist()
    assert (row["id"], row["language"]) == ("a", "de")
    (bad,) = pq.read_table(tmp_path / "out/errors").to_pylist()
    assert '"language": "en"' in str(bad)


def test_a_column_of_the_file_itself_stays(tmp_path: Path) -> None:
    put(str(tmp_path), "m/year=2024/a.parquet", {"id": ["a"], "text": ["x"], "year": ["MMXXIV"]})
    assert rows_of(make_plan(str(tmp_path / "m"), TTS))[0]["year"] == "MMXXIV"


def test_partitions_of_some_files_are_null_in_others(tmp_path: Path) -> None:
    put(str(tmp_path), "m/a.parquet", {"id": ["a"], "text": ["x"]})
    put(str(tmp_path), "m/lang=01/b.parquet", {"id": ["b"], "text": ["y"]})
    plan = make_plan(str(tmp_path / "m"), TTS)
    assert [row.get("lang") for row in rows_of(plan)] == [None, "01"]  # no number is written so


@pytest.mark.parametrize("where", ["local", "s3"])
def test_what_spark_leaves_behind_is_no_row(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    put(root, "m/part-0.parquet", {"id": ["a"], "text": ["x"]})
    for folder in ("_temporary/0/task_1", ".hidden", "year=1/_tmp"):
        put(root, f"m/{folder}/part-1.parquet", {"id": ["b"], "text": ["y"]})
    Storage(root).put("m/_SUCCESS", b"")
    plan = make_plan(f"{root}/m", TTS)
    assert [row["id"] for row in rows_of(plan)] == ["a"]
    told = [str(left) for left in plan.left_out]
    assert any(text.startswith("2 files left out (2 .parquet): they lie in fold") for text in told)
    assert any("begin with a dot" in text for text in told)


def test_folders_of_audio_may_be_called_anything(tmp_path: Path) -> None:
    Storage(str(tmp_path)).put("m/_background_noise_/a.wav", b"x")
    assert make_plan(str(tmp_path / "m"), get_task("tokenize")).rows == 1


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize(
    ("mark", "engine"),
    [
        ("_delta_log/00000000000000000000.json", "Delta Lake table.*delta_scan"),
        ("metadata/v1.metadata.json", "Iceberg table.*iceberg_scan"),
        (".hoodie/hoodie.properties", "Hudi table.*format"),
    ],
)
@pytest.mark.parametrize("inside", ["", "tables/one/"])
def test_tables_with_a_log_are_named(
    where: str, mark: str, engine: str, inside: str, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    put(root, f"m/{inside}part-0.parquet", {"id": ["a"], "text": ["x"]})
    Storage(root).put(f"m/{inside}{mark}", b"{}")
    with pytest.raises(UsageError, match=f"m/{inside}".rstrip("/") + f" is a {engine}"):
        make_plan(f"{root}/m", TTS)
    assert make_plan(f"{root}/m/{inside}*.parquet", TTS).rows == 1  # named, they are meant
