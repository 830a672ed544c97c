"""What a unit becomes on storage, for ids and columns of every kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.batch.schema import MARKS, SPAN_TEXTS_TYPE
from actors.batch.table import mark_errors, scatter, start_table, wave_column, write_codes
from actors.batch.unit import UnitSpec
from actors.stages.part_file import store_crash
from actors.stages.write import Writer, file_stem, result_fields, travelling_names
from tests.actors.outcomes import receipt_of
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import TASKS, get_task
from uniaudio2.tokens.codes import Codes


@given(st.text(max_size=400))
def test_no_id_makes_a_path(row_id: str) -> None:
    stem = file_stem(row_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", stem)


@given(st.lists(st.text(max_size=60), unique=True, max_size=30))
def test_no_two_ids_share_a_name(ids: list[str]) -> None:
    assert len({file_stem(row_id) for row_id in ids}) == len(ids)


@pytest.mark.parametrize("row_id", ["../../x", "a/b", "x" * 300, "äöü", "", "CON", "a\nb\x00"])
def test_hostile_ids_stay_inside(tmp_path: Path, row_id: str) -> None:
    outside = set(tmp_path.parent.iterdir())
    writer = Writer(str(tmp_path / "out"), get_task("detokenize"), pa.schema([]), "m", 0)
    table = start_table([row_id], pa.array([{"x": 1}]), 0)
    table = write_codes(table, {0: Codes.empty()})
    table = table.append_column("output_wave", wave_column({0: torch.zeros(1920)}, 1))
    receipt = receipt_of(writer(table))
    row = pq.read_table(tmp_path / "out" / receipt.data[0]).to_pylist()[0]
    assert row["id"] == row_id
    assert (tmp_path / "out" / row["audio_path"]).is_file()
    assert set(tmp_path.parent.iterdir()) == outside


def test_codes_that_came_in_are_the_result_s_or_stand_beside_it(tmp_path: Path) -> None:
    codes = Codes(torch.full((1, 8), 1), torch.full((2, 8), 2))
    inputs = pa.array([{"recon_codes": [[7] * 8], "recon_path": "a.pt"}])
    schema = pa.schema([("recon_codes", inputs.type.field(0).type), ("recon_path", pa.string())])

    def written(task: str) -> dict[str, Any]:
        table = write_codes(start_table(["a"], inputs, 0), {0: codes})
        table = table.append_column("input_samples", pa.array([None], pa.int64()))
        for name in ("text", "finish_reason"):
            table = table.append_column(name, pa.array(["stop"]))
        table = table.append_column("spans", pa.nulls(1, SPAN_TEXTS_TYPE))
        table = table.append_column("output_wave", wave_column({0: torch.zeros(1920)}, 1))
        receipt = receipt_of(Writer(str(tmp_path), get_task(task), schema, "m", 0)(table))
        row: dict[str, Any] = pq.read_table(tmp_path / receipt.data[0]).to_pylist()[0]
        assert row["input_duration_s"] is None
        assert row["recon_path"] == "a.pt"
        return row

    assert "input_recon_codes" not in written("reconstruct")
    assert written("asr")["recon_codes"] == [[7] * 8]
    answered = written("speech_s2s")
    assert answered["input_recon_codes"] == [[7] * 8]
    assert answered["recon_codes"] == [[2] * 8] * 2


def test_columns_that_a_result_needs_are_kept_beside_it() -> None:
    names = travelling_names(["id", "text", "input_text"], ["text", "speaker"])
    assert names == {"text": "input_input_text", "speaker": "speaker"}
    assert travelling_names(["id", "text"], ["text", "input_text"]) == {
        "text": "input_input_text",
        "input_text": "input_text",
    }


def test_results_and_errors_of_one_unit(tmp_path: Path) -> None:
    inputs = pa.array([{"text": "hello", "n": 1}, {"text": "<b>", "n": 2}])
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    table = start_table(["a", "b"], inputs, 5)
    table = mark_errors(table, "encode", {1: BadRow("too_long", "cut it")})
    table = table.append_column("input_samples", pa.array([24_000, None], pa.int64()))
    table = table.append_column("text", scatter({0: "hallo"}, 2, pa.string()))
    spans = {0: [{"start_s": 0.0, "end_s": 1.0, "text": "hallo"}]}
    table = table.append_column("spans", scatter(spans, 2, SPAN_TEXTS_TYPE))
    table = table.append_column("finish_reason", scatter({0: "stop"}, 2, pa.string()))
    receipt = receipt_of(Writer(str(tmp_path), get_task("asr"), schema, "m-1", 9)(table))
    assert (receipt.ok, receipt.errors, receipt.input_s) == (1, 1, 1.0)
    (good,) = pq.read_table(tmp_path / receipt.data[0]).to_pylist()
    assert good | {"seed": 0} == dict.fromkeys(MARKS) | {
        "id": "a", "task": "asr", "text": "hallo", "spans": spans[0], "input_duration_s": 1.0,
        "finish_reason": "stop", "seed": 0, "model": "m-1", "input_text": "hello", "n": 1,
    }  # fmt: skip
    (bad,) = pq.read_table(tmp_path / receipt.error_parts[0]).to_pylist()
    assert json.loads(bad.pop("input")) == {"text": "<b>", "n": 2}
    assert bad == {
        "id": "b", "stage": "encode", "kind": "too_long", "message": "cut it", "attempts": 1,
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_absent_columns_are_those_a_task_does_not_produce(task: object) -> None:
    names = [field.name for field in result_fields(task, keep_codes=False)]
    assert names[:2] == ["id", "task"]
    assert names[-1] == "model"
    assert ("text" in names) == (task.output == "text")
    assert ("audio_path" in names) == ("decode" in task.stages)
    assert ("finish_reason" in names) == ("generate" in task.stages)


def test_a_block_of_two_units_is_a_fault(tmp_path: Path) -> None:
    one, two = (start_table(["a"], pa.array([{"x": 1}]), unit) for unit in (0, 1))
    writer = Writer(str(tmp_path), get_task("tokenize"), pa.schema([]), "m", 0)
    with pytest.raises(RuntimeError, match="one block"):
        writer(pa.concat_tables([one, two]))


def test_errors_of_rows_that_python_cannot_hold(tmp_path: Path) -> None:
    inputs = pa.StructArray.from_arrays([pa.array([2**62], pa.timestamp("s"))], ["when"])
    schema = pa.schema([("when", pa.timestamp("s"))])
    writer = Writer(str(tmp_path), get_task("detokenize"), schema, "m", 0)
    table = mark_errors(start_table(["a"], inputs, 0), "load", {0: BadRow("bad_codes", "none")})
    receipt = receipt_of(writer(write_codes(table, {})))
    (row,) = pq.read_table(tmp_path / receipt.error_parts[0]).to_pylist()
    assert json.loads(row["input"]) == {"when": "<unreadable timestamp[s]>"}


def test_a_crash_is_recorded_though_its_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    table = pa.table({"id": ["a", "b"], "text": ["x" * 5000, "y" * 5000]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    data[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    spec = UnitSpec(3, str(path), 0, 2, "", "f", row=1)
    receipt = store_crash(str(tmp_path / "out"), spec, "fault", "load: OSError", 2)
    (row,) = pq.read_table(tmp_path / "out" / receipt.error_parts[0]).to_pylist()
    assert row["id"] == "b"
    assert "unreadable" in json.loads(row["input"])
