"""Audio as numbers is heard as the WAV file of these numbers would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from actors.batch.row_hashes import row_hashes
from actors.batch.sample_arrays import encoded_samples, holds_samples
from actors.batch.table import read_wave
from actors.columnar import file_rows
from actors.inputs.audio import AudioSource
from actors.stages.load import Loader
from pipelines.planning.plan import make_plan, passthrough_schema
from tests.conftest import tone, wav_bytes
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import get_task

RATE = 16_000
LEFT, RIGHT = tone(0.1, RATE), 0.5 * tone(0.1, RATE, hz=300.0)
BOTH = np.stack([LEFT, RIGHT])  # [C, N]
WHOLE = np.round(LEFT * 32768).astype(np.int16)
TASK = get_task("tokenize")


def _rows(table: pa.Table, path: Path, **options: Any) -> tuple[pa.Table, list[int | None]]:
    """What loading makes of a manifest, and how many samples each row has at 24 kHz."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    plan = make_plan(str(path), TASK, unit_rows=table.num_rows)
    loader = Loader(TASK, passthrough_schema(plan.schema), **options)
    loaded = pa.concat_tables(loader(unit.to_table()) for unit in plan.units)
    return loaded, loaded["input_samples"].to_pylist()


def _expected(samples: np.ndarray, subtype: str) -> torch.Tensor:
    with AudioSource(None, wav_bytes(samples, RATE, subtype), 0.0, None).open() as stream:
        return torch.cat(list(stream.blocks()))


KINDS = {
    "floats": (LEFT.tolist(), pa.list_(pa.float32())),
    "doubles": (LEFT.tolist(), pa.list_(pa.float64())),
    "fixed": (LEFT.tolist(), pa.list_(pa.float32(), len(LEFT))),
    "large": (LEFT.tolist(), pa.large_list(pa.float32())),
    "view": (LEFT.tolist(), pa.list_view(pa.float32())),
    "whole": (WHOLE.tolist(), pa.list_(pa.int16())),
    "fixed_whole": (WHOLE.tolist(), pa.list_(pa.int16(), len(WHOLE))),
    "python_whole": (WHOLE.tolist(), pa.list_(pa.int64())),
    "channel": ([LEFT.tolist()], pa.list_(pa.list_(pa.float32()))),
    "file": (list(wav_bytes(LEFT, RATE, "FLOAT")), pa.list_(pa.uint8())),
}


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("name", KINDS)
def test_lists_of_samples_are_heard(name: str, suffix: str, tmp_path: Path) -> None:
    samples, kind = KINDS[name]
    table = pa.table(
        {"id": ["a", "b"], "audio": pa.array([samples] * 2, kind), "sampling_rate": [RATE] * 2}
    )
    loaded, counts = _rows(table, tmp_path / f"m{suffix}")
    assert loaded["error_message"].to_pylist() == [None] * 2
    assert counts == [2400] * 2
    subtype = "PCM_16" if "whole" in name else "FLOAT"
    heard = read_wave(loaded, "wave", 1)
    assert torch.allclose(heard, _expected(LEFT, subtype), atol=1e-4 if "whole" in name else 1e-6)
    travels = loaded["input"].combine_chunks()
    assert travels.field("audio").to_pylist() == [None] * 2
    assert travels.field("sampling_rate").to_pylist() == [RATE] * 2


STRUCT = pa.struct(
    [("array", pa.list_(pa.float64())), ("path", pa.string()), ("sampling_rate", pa.int64())]
)


def _sound(array: list[float] | None, rate: int | None = RATE, path: str = "no/such.wav") -> Any:
    return {"array": array, "path": path, "sampling_rate": rate}


def test_decoded_sounds_of_datasets_are_heard_not_looked_up(tmp_path: Path) -> None:
    sounds = [_sound(LEFT.tolist()), _sound(LEFT.tolist(), None), _sound(None), _sound([])]
    table = pa.table({"audio": pa.array(sounds, STRUCT), "text": list("abcd")})
    loaded, counts = _rows(table, tmp_path / "m.parquet")
    assert counts == [2400, None, None, None]
    assert loaded["error_kind"].to_pylist() == [
        None,
        "missing_value",
        "missing_file",
        "empty_audio",
    ]
    assert "'sampling_rate'" in loaded["error_message"].to_pylist()[1]
    names = loaded["input"].combine_chunks().field("audio").to_pylist()
    assert names == ["no/such.wav"] * 4


def test_samples_in_lines_of_json(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "audio": LEFT.tolist(), "sampling_rate": RATE},
        {"id": "b", "audio": WHOLE.tolist(), "sampling_rate": RATE},
        {"id": "c", "audio": _sound(LEFT.tolist()), "sampling_rate": None},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    plan = make_plan(str(path), TASK, unit_rows=3)
    loaded = Loader(TASK, passthrough_schema(plan.schema))(plan.units[0].to_table())
    assert loaded["input_samples"].to_pylist() == [2400] * 3


@pytest.mark.parametrize(("channel", "expected"), [
    (0, LEFT), ("right", RIGHT), (None, BOTH.mean(0)), (2, None),
])  # fmt: skip
def test_lists_of_lists_are_channels(channel: Any, expected: Any, tmp_path: Path) -> None:
    table = pa.table({
        "id": ["a"], "audio": pa.array([BOTH.tolist()], pa.list_(pa.list_(pa.float32()))),
        "sampling_rate": [RATE], "audio_channel": [channel],
    })  # fmt: skip
    loaded, _ = _rows(table, tmp_path / "m.parquet")
    if expected is None:
        assert loaded["error_kind"].to_pylist() == ["bad_span"]
    else:
        assert torch.allclose(read_wave(loaded, "wave", 0), _expected(expected, "FLOAT"), atol=1e-6)


def test_each_channel_of_an_array_can_be_a_row(tmp_path: Path) -> None:
    kind = pa.list_(pa.list_(pa.float32(), LEFT.size), 2)
    table = pa.table(
        {"id": ["a"], "audio": pa.array([BOTH.tolist()], kind), "sampling_rate": [RATE]}
    )
    loaded, counts = _rows(table, tmp_path / "m.parquet", channel="each")
    assert counts == [2400] * 2
    assert torch.allclose(read_wave(loaded, "wave", 1), _expected(RIGHT, "FLOAT"), atol=1e-6)


def test_spans_and_limits_are_those_of_files(tmp_path: Path) -> None:
    sounds = [LEFT.tolist(), np.tile(LEFT, 20).tolist(), np.tile(LEFT, 610).tolist()]
    table = pa.table({
        "id": list("abc"), "audio": pa.array(sounds, pa.list_(pa.float32())),
        "sampling_rate": [RATE] * 3, "start_s": [0.05, 0.0, 0.0],
    })  # fmt: skip
    loaded, counts = _rows(table, tmp_path / "m.parquet", max_duration_s=1.5)
    assert counts == [1200, None, None]
    assert loaded["error_kind"].to_pylist() == [None, "too_long", "too_long"]
    loaded, counts = _rows(table, tmp_path / "m.parquet")
    assert counts == [1200, 48_000, 1_464_000]
    long = AudioSource.of_cell(loaded["source"].to_pylist()[2])  # a minute: no wave travels
    with long.open() as stream:
        assert stream.samples == 1_464_000


@pytest.mark.parametrize(("value", "rate", "kind", "words"), [
    ([0.1, 0.2], None, "missing_value", "sampling_rate"),
    ([0.1, 0.2], 0, "bad_manifest_row", "sampling_rate is 0"),
    ([0.1, 0.2], 16_000.5, "bad_manifest_row", "16000.5"),
    ([0.1, 0.2], "fast", "bad_manifest_row", "'fast'"),
    ([0.1, -21_000.0], RATE, "bad_manifest_row", "up to 2.1e"),
    ([1, 40_000], RATE, "bad_manifest_row", "16 bits"),
    (np.array([1, 2], np.int8), RATE, "bad_manifest_row", "16 bits"),
    ([[0.1, 0.2], [0.3]], RATE, "bad_manifest_row", "lengths differ"),
    ([["a"]], RATE, "bad_manifest_row", "no samples"),
    ([[[0.1]]], RATE, "bad_manifest_row", "no samples"),
    (np.zeros((1000, 2)), RATE, "bad_span", "transpose"),
])  # fmt: skip
def test_what_are_no_samples_says_so(value: Any, rate: Any, kind: str, words: str) -> None:
    with pytest.raises(BadRow, match=words) as caught:
        encoded_samples(value, {"sampling_rate": rate})
    assert caught.value.kind == kind


def test_samples_that_are_none(tmp_path: Path) -> None:
    table = pa.table({
        "id": list("abc"), "sampling_rate": [RATE] * 3,
        "audio": pa.array([[0.1, None, 0.1], [0.1, float("nan")], None], pa.list_(pa.float32())),
    })  # fmt: skip
    loaded, _ = _rows(table, tmp_path / "m.parquet")
    assert loaded["error_kind"].to_pylist() == ["non_finite_audio"] * 2 + ["missing_value"]
    whole = pa.array([[1, None, 2]] * 3, pa.list_(pa.int16()))
    loaded, _ = _rows(table.set_column(2, "audio", whole), tmp_path / "m.parquet")
    assert loaded["error_kind"].to_pylist() == ["non_finite_audio"] * 3


def test_ragged_lists_cost_their_row(tmp_path: Path) -> None:
    ragged = pa.array([[[0.1, 0.2], [0.3]], [[0.1], None]], pa.list_(pa.list_(pa.float32())))
    loaded, _ = _rows(
        pa.table({"audio": ragged, "sampling_rate": [RATE] * 2}), tmp_path / "m.parquet"
    )
    assert loaded["error_kind"].to_pylist() == ["bad_manifest_row"] * 2


def test_planning_reads_no_samples_where_ids_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"id": ["a"], "audio": pa.array([_sound([0.5])], STRUCT), "n": [[0.5]]})
    pq.write_table(table, tmp_path / "m.parquet")
    asked: list[Any] = []

    def look(uri: str, stop: int, columns: Any, *more: Any) -> Any:
        asked.append(columns)
        return file_rows.file_batches(uri, stop, columns, *more)

    monkeypatch.setattr("pipelines.planning.row_index.file_batches", look)
    make_plan(str(tmp_path / "m.parquet"), TASK)
    assert asked == [["id", "n"]]


def test_samples_tell_rows_apart() -> None:
    kind = pa.list_(pa.float32())
    sounds = [[0.5, 0.25], [0.25, 0.5], [0.5, 0.25], None, []]
    table = pa.table({"audio": pa.array(sounds, kind)})
    first, second, third, null, none = row_hashes(table)
    assert first == third
    assert len({first, second, null, none}) == 4
    chunked = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    assert row_hashes(chunked) == [second, third, null, none, first]
    assert row_hashes(table.cast(pa.schema({"audio": pa.large_list(pa.float32())})))[0] == first


def test_other_types_hold_no_samples() -> None:
    for kind in (pa.string(), pa.binary(), pa.list_(pa.string()), pa.float32(),
                 pa.struct([("bytes", pa.binary()), ("path", pa.string())])):  # fmt: skip
        assert not holds_samples(kind)
    assert holds_samples(pa.fixed_shape_tensor(pa.float32(), [2, 4]).storage_type)
