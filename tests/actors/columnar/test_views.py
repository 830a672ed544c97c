"""Columns of views are read as plain ones, wherever in a column they stand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.row_hashes import row_hashes
from actors.columnar.views import plain_batch, plain_schema
from actors.stages.load import Loader
from pipelines.planning.plan import make_plan, passthrough_schema
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task

SOUND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SOUND_VIEW = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])
COLUMNS = {
    "id": (pa.string(), pa.string_view()),
    "audio": (SOUND, SOUND_VIEW),
    "note": (pa.string(), pa.string_view()),
    "raw": (pa.binary(), pa.binary_view()),
    "tags": (pa.list_(pa.string()), pa.list_(pa.string_view())),
}
ROWS = [
    {
        "id": f"a long enough name that is no part of its view {n}",
        "audio": {"bytes": wav_bytes(tone(0.1)), "path": "x.wav"},
        "note": "n" * 20 if n else None,
        "raw": b"\x00" * n,
        "tags": ["t"] * n,
    }
    for n in range(5)
]


def table(place: int, without: tuple[str, ...] = ()) -> pa.Table:
    fields = [(name, kinds[place]) for name, kinds in COLUMNS.items() if name not in without]
    return pa.Table.from_pylist(ROWS, pa.schema(fields))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("without", [(), ("id",)])
def test_views_are_the_rows_that_plain_columns_are(
    suffix: str, without: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / f"m.{suffix}"
    written = table(1, without)
    if suffix == "parquet":
        pq.write_table(written, path)
        assert pq.read_schema(path).field("note").type == pa.string_view()
    else:
        with pa.ipc.new_stream(path, written.schema) as writer:
            writer.write_table(written)
    task = get_task("tokenize")
    plan = make_plan(str(path), task, unit_rows=2)
    plain = table(0, without)
    assert plan.schema == plain.schema
    loader = Loader(task, passthrough_schema(plan.schema))
    loaded = pa.concat_tables([loader(unit.to_table()) for unit in plan.units])
    ids = row_hashes(plain) if without else [row["id"] for row in ROWS]
    assert loaded["id"].to_pylist() == ids
    assert loaded["input_samples"].to_pylist() == [2400] * 5
    assert loaded["error_kind"].null_count == 5


def test_plain_columns_are_not_touched() -> None:
    batch = table(0).to_batches()[0]
    assert plain_batch(batch) is batch
    assert plain_schema(batch.schema) is batch.schema


LONG = "longer than what lies in a view itself"
TEXT, VIEW = pa.string(), pa.string_view()
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), pa.array([LONG, "b"], VIEW))
NESTED = {
    "fixed_list": (pa.array([[LONG, None], None, ["a", "b"], ["c", "d"]], pa.list_(VIEW, 2)),
                   pa.list_(TEXT, 2)),
    "map": (pa.array([[(LONG, LONG)], None, [], [("k", None)]], pa.map_(VIEW, VIEW)),
            pa.map_(TEXT, TEXT)),
    "large_list": (pa.array([[LONG], None, [], ["a", None]], pa.large_list(VIEW)),
                   pa.large_list(TEXT)),
    "list_view": (pa.array([[LONG], None, [], ["a", None]], pa.list_view(VIEW)),
                  pa.list_view(TEXT)),
    "deep": (pa.array([{"a": [[LONG]]}, None, {"a": None}, {"a": [["b"]]}],
                      pa.struct([("a", pa.list_(pa.list_(VIEW, 1)))])),
             pa.struct([("a", pa.list_(pa.list_(TEXT, 1)))])),
    "runs": (RUNS, TEXT),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_views_within_any_type_travel(name: str, tmp_path: Path) -> None:
    column, kind = NESTED[name]
    batch = plain_batch(pa.record_batch({"x": column}).slice(1))
    assert batch.schema.field("x").type == kind
    assert batch["x"].to_pylist() == column.to_pylist()[1:]
    table = pa.table({"id": list("abcd"), "text": ["t"] * 4, "x": column})
    path = tmp_path / "m.arrow"
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    assert _loaded(path).field("x").to_pylist() == column.to_pylist()
    if name != "runs":  # which Parquet cannot hold
        pq.write_table(table, tmp_path / "m.parquet")
        assert _loaded(tmp_path / "m.parquet").field("x").to_pylist() == column.to_pylist()


def _loaded(path: Path) -> pa.StructArray:
    """The columns that travel of a manifest; they can be stored and taken apart."""
    task = get_task("tts")
    plan = make_plan(str(path), task, unit_rows=4)
    loaded = Loader(task, passthrough_schema(plan.schema))(plan.units[0].to_table())
    inputs = loaded["input"].combine_chunks()
    pq.write_table(loaded.select(["input"]).take(pa.array([1, 0])), path.with_suffix(".part"))
    return inputs


@pytest.mark.parametrize("kind", [pa.binary_view(), pa.binary(), pa.large_binary(), VIEW])
def test_ids_of_any_kind_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    names = [f"{LONG} {row}".encode() for row in range(3)]
    ids = pa.array(names if pa.types.is_binary(kind) or kind != VIEW else map(bytes.decode, names))
    table = pa.table({"id": ids.cast(kind), "text": ["t"] * 3})
    pq.write_table(table, tmp_path / "m.parquet")
    task = get_task("tts")
    plan = make_plan(str(tmp_path / "m.parquet"), task, unit_rows=3)
    loaded = Loader(task, passthrough_schema(plan.schema))(plan.units[0].to_table())
    assert loaded["id"].to_pylist() == [name.decode() for name in names]
