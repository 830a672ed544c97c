"""Rows of files in memory that the file cannot choose; what is too large costs its row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.unit import row_ids, to_stream
from actors.columnar import chunk_sizes, dictionaries, value_bounds
from actors.columnar.file_rows import file_batches, read_file_rows
from actors.columnar.value_bounds import MAX_VALUE_BYTES, TOO_LARGE, bounded, too_large_message
from actors.storage.object_store import Storage

BIG = "x" * (MAX_VALUE_BYTES + 5)
_MIB = 1 << 20
# four values of 256 MiB, planned and loaded; prints the growth of the process in MiB
_HUGE = """
import sys
import pyarrow as pa
from actors.stages.load import Loader
from pipelines.planning.plan import make_plan, passthrough_schema
from uniaudio2.tasks.table import get_task
def peak():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) // 1024
before = peak()
task = get_task("tts")
plan = make_plan(sys.argv[1], task)
loader = Loader(task, passthrough_schema(plan.schema))
table = pa.concat_tables([loader(unit.to_table()) for unit in plan.units])
kinds = dict(zip(table["id"].to_pylist(), table["error_kind"].to_pylist()))
messages = [said for said in table["error_message"].to_pylist() if said]
print([kinds, messages, peak() - before])
"""


@pytest.mark.slow
def test_kilobytes_that_stand_for_gigabytes(tmp_path: Path) -> None:
    value = "a" * (256 * _MIB)
    path = tmp_path / "m.parquet"
    ids, places = list("abcdef"), pa.array([0, 1, 0, 0, None, 0], pa.int32())
    junk = pa.DictionaryArray.from_arrays(places, pa.array([value, "short"]))
    table = pa.table({"id": ids, "text": ["words"] * 6, "junk": junk})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    del table, junk, value
    assert path.stat().st_size < 10_000
    answer = subprocess.run(
        [sys.executable, "-c", _HUGE, str(path)], capture_output=True, text=True, check=True
    )
    kinds, messages, grown = eval(answer.stdout)  # noqa: S307 - what it just printed
    bad = ["a", "c", "d", "f"]
    assert kinds == {name: "too_large" if name in bad else None for name in ids}
    told = f"column 'junk': a value of {256 * _MIB} bytes; at most {MAX_VALUE_BYTES}"
    assert all(told in message for message in messages)
    assert grown < 500


def _parquet(path: Path, table: pa.Table, **options: Any) -> str:
    pq.write_table(table, path, **options)
    return str(path)


@pytest.mark.parametrize("options", [
    {"use_dictionary": False},
    {"compression": "none"},
    {"compression": "zstd"},
    {"compression": "snappy"},
    {"compression": "gzip", "data_page_version": "2.0"},
    {"compression": "brotli", "row_group_size": 2},
    {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
])  # fmt: skip
def test_however_it_is_packed(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (value_bounds, "MAX_VALUE_BYTES", 1000), (dictionaries, "LARGE_BYTES", 2000),
        (chunk_sizes, "_SMALL_BYTES", 100), (chunk_sizes, "_MANY_BYTES", 4000),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    large = "y" * 50_000
    columns = {
        "id": ["a", "b", "c", "d", "e"],
        "flat": [large, "s", None, large, "t"],
        "bytes": [b"s", large.encode(), None, b"", b"t"],
        "list": [["s"], [], None, ["s", large, None], ["u"]],
        "struct": [{"t": "s"}, {"t": large}, None, {"t": None}, {"t": "s"}],
        "deep": [[{"t": ["s"]}], [], [{"t": [large]}], None, [{"t": ["s"]}]],
    }
    uri = _parquet(tmp_path / "m.parquet", pa.table(columns), **options)
    for table in (
        read_file_rows(uri, 0, 5),
        pa.concat_tables(
            [pa.Table.from_batches([b]) for b in file_batches(uri, 5, None, 2)],
            promote_options="default",
        ),
    ):
        rows = table.to_pylist()
        found = [
            {name: size for name, (size, _) in json.loads(row[TOO_LARGE] or "{}").items()}
            for row in rows
        ]
        named = [set(facts) for facts in found]
        assert named == [{"flat"}, {"bytes", "struct"}, {"deep"}, {"flat", "list"}, set()]
        assert found[0]["flat"] == found[1]["bytes"] == 50_000
        for name, values in columns.items():
            wanted = [None if name in facts else v for v, facts in zip(values, named, strict=True)]
            assert table[name].to_pylist() == wanted
        assert table.nbytes < 2000
        assert table.schema.field("flat").type == pa.string()
        assert table.schema.field("list").type.value_type == pa.string()


def test_lists_of_numbers_without_end_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_bounds, "MAX_VALUE_BYTES", 70_000)
    many = pa.array([[1] * 300_000, [2]], pa.list_(pa.int8()))
    fits = pa.array([[1] * 10_000, [2]], pa.list_(pa.int64()))
    table = pa.table({"text": ["a", "a"], "x": many, "y": fits})
    uri = _parquet(tmp_path / "m.parquet", table)
    begun = pa.total_allocated_bytes()
    found = read_file_rows(uri, 0, 2)
    assert pa.total_allocated_bytes() - begun < 200_000
    assert found["x"].to_pylist() == [None, None]
    assert found["x"].type == many.type
    assert [row and len(row) for row in found["y"].to_pylist()] == [None, 1]
    noted = [json.loads(note) for note in found[TOO_LARGE].to_pylist()]
    assert [facts["x"][0] for facts in noted] == [150_001, 150_001]
    assert list(noted[0]) == ["x", "y"]
    assert len(set(row_ids(found))) == 2
    assert row_ids(read_file_rows(uri, 1, 2)) == row_ids(found)[1:]
    assert read_file_rows(uri, 0, 2, ["text"]).to_pylist() == [{"text": "a"}] * 2
    assert read_file_rows(uri, 0, 2, limits={"x": 1 << 20})["x"].null_count == 0


@pytest.mark.parametrize("size", [MAX_VALUE_BYTES + 1, 40 * _MIB])
def test_a_column_that_is_a_dictionary(size: int, tmp_path: Path) -> None:
    """It stays one, but not with values that none of its rows may have."""
    column = pa.array(["x" * size, "s", "s"]).dictionary_encode()
    uri = _parquet(tmp_path / "m.parquet", pa.table({"d": column}), compression="zstd")
    for start in (0, 1):
        table = read_file_rows(uri, start, 3)
        assert table["d"].to_pylist() == [None, "s", "s"][start:]
        assert pa.types.is_dictionary(table["d"].type)
        assert len(to_stream(table)) < 2000


def test_the_same_rows_have_the_same_ids_whoever_reads_them(tmp_path: Path) -> None:
    """Bytes may stay for one reader and not for another; the ids are those of the whole rows."""
    data = [{"bytes": bytes([n]) * (MAX_VALUE_BYTES + 1), "path": "a"} for n in range(2)]
    table = pa.table({"audio": data, "blob": [d["bytes"] for d in data], "text": ["a", "b"]})
    uri = _parquet(tmp_path / "m.parquet", table, compression="zstd")
    short = read_file_rows(uri, 0, 2)
    whole = read_file_rows(uri, 0, 2, limits={"audio": 1 << 32, "blob": 1 << 32})
    assert short["audio"].null_count == 2
    assert whole["audio"].null_count == 0
    assert row_ids(short) == row_ids(whole)
    assert len(set(row_ids(short))) == 2


def test_values_of_one_size_are_told_apart(tmp_path: Path) -> None:
    table = pa.table({"text": [sign * (40 * _MIB) for sign in "abc"]})
    uri = _parquet(tmp_path / "m.parquet", table, compression="zstd")
    assert len(set(row_ids(read_file_rows(uri, 0, 3)))) == 3


def test_a_file_on_object_storage(bucket: str) -> None:
    value = "a" * (40 * _MIB)
    table = pa.table({"id": ["a", "b"], "junk": [value, "s"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    Storage(bucket).put("m.parquet", sink.getvalue().to_pybytes())
    found = read_file_rows(f"{bucket}/m.parquet", 0, 2)
    assert found["junk"].to_pylist() == [None, "s"]


def test_bytes_that_nobody_hears_are_not_read(tmp_path: Path) -> None:
    sounds = [{"bytes": b"x" * 1000, "path": f"{n}.wav"} for n in range(3)]
    table = pa.table({"id": list("abc"), "audio": sounds, "audio_filepath": ["p"] * 3})
    uri = _parquet(tmp_path / "m.parquet", table)
    found = read_file_rows(uri, 1, 3, paths_only=("audio", "audio_filepath"))
    assert found["audio"].to_pylist() == [{"path": "1.wav"}, {"path": "2.wav"}]
    assert found["audio_filepath"].to_pylist() == ["p", "p"]
    without_ids = _parquet(tmp_path / "n.parquet", table.drop_columns(["id"]))
    assert "bytes" in read_file_rows(without_ids, 0, 1, paths_only=("audio",))["audio"][0].as_py()


def test_values_of_arrow_streams(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "junk": [BIG, "s"]})
    (tmp_path / "m.arrow").write_bytes(to_stream(table))
    found = read_file_rows(str(tmp_path / "m.arrow"), 0, 2)
    assert found["junk"].to_pylist() == [None, "s"]
    assert f"{len(BIG)} bytes" in str(too_large_message(found[TOO_LARGE][0].as_py()))


def test_what_is_small_stays_as_it_is() -> None:
    table = pa.table({"a": ["x"], "d": pa.array(["y"]).dictionary_encode(), TOO_LARGE: ["mine"]})
    (batch,) = table.to_batches()
    assert bounded(batch) is batch
    assert too_large_message("mine") is None
    assert too_large_message('{"a": 5}') is None
    assert too_large_message("[1]") is None


def test_codes_of_a_day_are_not_too_large() -> None:
    frames = pa.array(range(MAX_VALUE_BYTES // 8 + 8), pa.int64())
    codes = pa.ListArray.from_arrays(pa.array([0, len(frames)], pa.int32()), frames)
    batch = pa.RecordBatch.from_arrays([codes, codes], ["recon_codes", "other"])
    noted = json.loads(bounded(batch)[TOO_LARGE][0].as_py())
    assert list(noted) == ["other"]
