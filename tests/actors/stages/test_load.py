"""Loading: every kind of bad row becomes its typed error, every good one its wave or codes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from actors.batch.error_rows import errors_table, input_json
from actors.batch.table import read_codes
from actors.batch.unit import UnitSpec, to_stream
from actors.columnar.value_bounds import MAX_VALUE_BYTES
from actors.inputs.audio import load_audio
from actors.inputs.codes import load_codes
from actors.inputs.text import read_text
from actors.stages.load import Loader
from actors.storage.addresses import AddressPolicy, resolve
from actors.storage.fetch import Limits
from tests.conftest import tone, wav_bytes
from uniaudio2.errors import BadRow
from uniaudio2.tasks.table import get_task

GOOD = wav_bytes(tone(0.25))


def kind_of(action: Callable[[], Any]) -> str:
    with pytest.raises(BadRow) as caught:
        action()
    assert len(caught.value.message) > 20
    return caught.value.kind


@pytest.mark.parametrize(
    "value", [GOOD, {"bytes": GOOD, "path": None}, {"bytes": GOOD, "path": "somewhere.wav"}]
)
def test_audio_as_bytes_or_struct(value: object) -> None:
    assert load_audio({"audio": value}, AddressPolicy(""), 60).samples == 6000


TEXT = base64.b64encode(GOOD).decode()


@pytest.mark.parametrize(
    "value",
    [
        f"data:audio/wav;base64,{TEXT}", TEXT, {"bytes": TEXT, "path": "a.wav"}, {"bytes": TEXT},
        json.dumps({"bytes": TEXT}),
    ],
)  # fmt: skip
def test_audio_as_text_is_heard_and_does_not_travel(value: object) -> None:
    """In JSON bytes can only be text; of the rows' names no more than a name is kept."""
    wanted = load_audio({"audio": GOOD}, AddressPolicy(""), 60).wave
    for base in ("/data", "s3://mine/set"):
        found = load_audio({"audio": value}, AddressPolicy(base), 60).wave
        assert found is not None and wanted is not None and torch.equal(found, wanted)
    rows = pa.table({"id": ["a"], "audio": [value]})
    table = Loader(get_task("tokenize"), rows.schema.remove(0))(unit_of(rows))
    assert table["error_kind"].to_pylist() == [None]
    (held,) = table["input"].to_pylist()
    assert TEXT[:40] not in json.dumps(held) or value == json.dumps({"bytes": TEXT})


def test_audio_as_text_keeps_to_the_limits_and_is_not_repeated() -> None:
    rows = pa.table({"id": ["a", "b"], "audio": [TEXT[:401], f"data:audio/wav;base64,{TEXT}"]})
    loader = Loader(get_task("tokenize"), rows.schema.remove(0), limits=Limits(max_bytes=9_000))
    table = loader(unit_of(rows))
    assert table["error_kind"].to_pylist() == ["bad_manifest_row", "too_large"]
    errors = errors_table(table, [0, 1]).to_pylist()
    assert all(TEXT[:20] not in json.dumps(row) for row in errors)
    assert "401 characters" in errors[0]["message"]
    assert input_json({"audio": TEXT}) == f'{{"audio": "<audio of {len(TEXT)} characters>"}}'


def test_audio_as_path_uri_and_span(make_audio: Callable[..., Path], bucket: str) -> None:
    from actors.storage.object_store import Storage

    path = make_audio("clips/a.wav", 1.0)
    base = str(path.parents[1])
    assert load_audio({"audio": "clips/a.wav"}, AddressPolicy(base), 60).samples == 24_000
    assert (
        load_audio({"audio": str(path), "start_s": 0.5}, AddressPolicy("/elsewhere"), 60).samples
        == 12_000
    )
    nemo = {"audio_filepath": "clips/a.wav", "offset": 0.25, "duration": 0.5}
    assert load_audio(nemo, AddressPolicy(base), 60).samples == 12_000
    Storage(bucket).put("x/a.wav", GOOD)
    assert load_audio({"audio": f"{bucket}/x/a.wav"}, AddressPolicy(""), 60).samples == 6000
    assert load_audio({"audio": "a.wav"}, AddressPolicy(f"{bucket}/x"), 60).samples == 6000


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"audio": None}, "missing_value"),
        ({"audio": {"bytes": None, "path": None}}, "missing_value"),
        ({"audio": "not-there.wav"}, "missing_file"),
        ({"audio": "."}, "unreadable_file"),
        ({"audio": "bad\x00name.wav"}, "missing_file"),
        ({"audio": "x" * 5000}, "missing_file"),
        ({"audio": b"plain text"}, "unreadable_audio"),
        ({"audio": GOOD, "start_s": "soon"}, "bad_span"),
    ],
)
def test_bad_audio_rows(row: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert kind_of(lambda: load_audio(row, AddressPolicy(str(tmp_path)), 60)) == kind


def test_missing_object_on_s3(bucket: str) -> None:
    assert (
        kind_of(lambda: load_audio({"audio": f"{bucket}/no.wav"}, AddressPolicy(""), 60))
        == "missing_file"
    )


def test_relative_paths_start_at_the_manifest() -> None:
    assert resolve("a/b.wav", "s3://bucket/m") == "s3://bucket/m/a/b.wav"
    assert resolve("/a/b.wav", "s3://bucket/m") == "/a/b.wav"
    assert resolve("s3://o/b.wav", "/m") == "s3://o/b.wav"


def test_texts() -> None:
    tta = get_task("tta")
    assert read_text({"caption": "rain"}, "caption", tta) == "rain"
    assert read_text({"text": "rain"}, "caption", tta) == "rain"
    assert kind_of(lambda: read_text({"caption": "  "}, "caption", tta)) == "empty_text"
    assert kind_of(lambda: read_text({"caption": None}, "caption", tta)) == "missing_value"


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3]],
        [1, 2, 3],
        [[0] * 8, [0] * 7],
        [[-1] * 8],
        [[70_000] * 8],
        "abc",
        [[1.5] * 8, []],
    ],
)
def test_bad_codes(value: object) -> None:
    assert kind_of(lambda: load_codes({"recon_codes": value})) == "bad_codes"


def test_no_codes() -> None:
    assert kind_of(lambda: load_codes({"recon_codes": None})) == "missing_value"
    assert kind_of(lambda: load_codes({"recon_codes": []})) == "missing_value"


def test_published_pairs_of_either_layout(tmp_path: Path) -> None:
    recon = torch.randint(0, 50, (8, 5))
    torch.save(recon, tmp_path / "a_semantic.pt")
    torch.save(torch.randint(0, 50, (3, 8), dtype=torch.int32), tmp_path / "a_reason.pt")
    codes = load_codes(
        {
            "recon_path": str(tmp_path / "a_semantic.pt"),
            "reason_path": str(tmp_path / "a_reason.pt"),
        }
    )
    assert torch.equal(codes.recon, recon.T)
    assert codes.reason.shape == (3, 8)


def test_pairs_that_are_ambiguous_or_hostile(tmp_path: Path) -> None:
    torch.save(torch.zeros(8, 8, dtype=torch.int64), tmp_path / "square.pt")
    marker = tmp_path / "it-ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    torch.save(Hostile(), tmp_path / "hostile.pt")
    for name in ("square.pt", "hostile.pt"):
        row = {"recon_path": str(tmp_path / name)}
        assert kind_of(lambda row=row: load_codes(row)) == "bad_codes"
    assert not marker.exists()


def unit_of(rows: pa.Table) -> pa.Table:
    return UnitSpec(0, "", 0, rows.num_rows, "", "f", to_stream(rows)).to_table()


def test_a_unit_keeps_good_and_bad_rows_in_order() -> None:
    rows = pa.table(
        {
            "id": ["a", "b", "c"],
            "audio": pa.array([GOOD, b"junk", GOOD], pa.binary()),
            "speaker": ["s1", "s2", None],
        }
    )
    schema = pa.schema([("audio", pa.binary()), ("speaker", pa.string())])
    table = Loader(get_task("tokenize"), schema)(unit_of(rows))
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert table["error_kind"].to_pylist() == [None, "unreadable_audio", None]
    assert table["input_samples"].to_pylist() == [6000, None, 6000]
    inputs = table["input"].to_pylist()
    assert [row["speaker"] for row in inputs] == ["s1", "s2", None]
    assert [row["audio"] for row in inputs] == [None, None, None]  # bytes do not travel on


def test_a_unit_of_codes() -> None:
    rows = pa.table({"id": ["a", "b"], "recon_codes": [[[1] * 8, [2] * 8], None]})
    table = Loader(get_task("detokenize"), rows.schema.remove(0))(unit_of(rows))
    assert read_codes(table, 0).recon.tolist() == [[1] * 8, [2] * 8]
    assert table["error_kind"].to_pylist() == [None, "missing_value"]


def test_audio_that_no_prompt_holds_is_refused_before_it_is_encoded() -> None:
    rows = pa.table({"id": ["a", "b"], "audio": pa.array([GOOD, wav_bytes(tone(1.0))])})
    loader = Loader(get_task("audio_caption"), rows.schema.remove(0), prompt_s=0.9)
    table = loader(unit_of(rows))
    assert table["error_kind"].to_pylist() == [None, "too_long"]
    assert "holds less than 0.9 s; cut it" in table["error_message"][1].as_py()


def test_tokens_stand_in_for_audio(tmp_path: Path) -> None:
    torch.save(torch.full((8, 3), 5, dtype=torch.int32), tmp_path / "d_semantic.pt")
    torch.save(torch.full((2, 8), 6, dtype=torch.int32), tmp_path / "d_reason.pt")
    frames = [[1] * 8, [2] * 8]
    rows = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "audio": pa.array([GOOD, GOOD, None, None], pa.binary()),
            "recon_codes": [None, frames, frames, None],
            "reason_codes": [None, frames, None, None],
            "recon_path": [None, None, None, str(tmp_path / "d_semantic.pt")],
            "reason_path": [None, None, None, str(tmp_path / "d_reason.pt")],
        }
    )
    heard = Loader(get_task("asr"), rows.schema.remove(0))(unit_of(rows))
    assert heard["error_kind"].to_pylist() == [None, None, "missing_value", None]
    assert heard["input_samples"].to_pylist() == [6000, None, None, None]
    assert [len(read_codes(heard, row).recon) for row in range(4)] == [0, 2, 0, 3]
    assert read_codes(heard, 3).reason.tolist() == [[6] * 8] * 2
    # what makes codes alone makes them of the audio, and passes on the others
    made = Loader(get_task("tokenize"), rows.schema.remove(0))(unit_of(rows))
    assert made["error_kind"].to_pylist() == [None] * 4
    assert made["input_samples"].to_pylist() == [6000, 6000, None, None]
    assert [len(read_codes(made, row).recon) for row in range(4)] == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"audio": ""}, "missing_value"),
        ({"audio": 5}, "bad_manifest_row"),
        ({"audio": ["a.wav", 3]}, "bad_manifest_row"),
        ({"audio": ["a.wav", ""]}, "bad_manifest_row"),
        ({"audio": ["a.wav"] * 33}, "bad_span"),
        ({"audio": ["a.wav", "nosuch://x/a.wav"]}, "unreadable_file"),
        ({"audio": "nosuch://x/a.wav"}, "unreadable_file"),
        ({"audio": "github://a/b.wav"}, "unreadable_file"),
        ({"audio": "/dev/zero"}, "unreadable_file"),
        ({"audio": GOOD, "start_s": 10**400}, "bad_span"),
    ],
)
def test_values_that_are_no_audio(row: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert kind_of(lambda: load_audio(row, AddressPolicy(str(tmp_path)), 60)) == kind


def test_paths_as_json_of_a_mixed_column(make_audio: Callable[..., Path], tmp_path: Path) -> None:
    make_audio("a.wav")
    make_audio("{b}.wav")
    for value in ('{"path": "a.wav", "bytes": null}', "{b}.wav"):
        assert load_audio({"audio": value}, AddressPolicy(str(tmp_path)), 60).samples == 12_000


@pytest.mark.parametrize("value", [True, ["a"], {"a": 1}, b"text"])
def test_texts_of_a_wrong_kind(value: object) -> None:
    assert kind_of(lambda: read_text({"text": value}, "text", get_task("tts"))) == "bad_text"


def test_a_text_beyond_any_context() -> None:
    row = {"text": "x" * 1_000_001}
    assert kind_of(lambda: read_text(row, "text", get_task("tts"))) == "too_long"
    rows = pa.table({"id": ["a"], "text": ["hi"], "instruction": ["x" * 1_000_001]})
    table = Loader(get_task("tts"), rows.schema.remove(0))(unit_of(rows))
    assert table["error_kind"].to_pylist() == ["too_long"]


def test_columns_that_no_one_needs_may_hold_anything() -> None:
    broken = pa.array([b"a\xff", b"fine"], pa.binary()).view(pa.string())
    calendar = pa.array([2**62, 0], pa.timestamp("s"))
    columns = {"text": ["a", "b"], "id": ["1", "2"], "broken": broken, "when": calendar}
    rows = pa.table(columns)
    table = Loader(get_task("tts"), rows.schema.remove(1))(unit_of(rows))
    assert table["error_kind"].to_pylist() == [None, None]
    inputs = table["input"].combine_chunks()
    assert inputs.field("broken").to_pylist() == ["a\\xff", "fine"]
    assert inputs.field("when").equals(calendar)


def test_text_that_is_not_utf8_costs_its_row() -> None:
    texts = pa.array([b"a\xff", b"fine"], pa.binary()).view(pa.string())
    rows = pa.table({"id": ["1", "2"], "text": texts})
    table = Loader(get_task("tts"), rows.schema.remove(0))(unit_of(rows))
    assert table["error_kind"].to_pylist() == ["bad_manifest_row", None]


def test_a_value_that_is_too_large_costs_its_row(tmp_path: Path) -> None:
    """Its column is read by no stage, but would travel; the sound is larger and may be."""
    large = "x" * (MAX_VALUE_BYTES + 1)
    sound = GOOD + b"\0" * MAX_VALUE_BYTES
    rows = pa.table(
        {
            "id": ["a", "b", "c"],
            "audio": pa.array([GOOD, GOOD, sound], pa.binary()),
            "note": ["fine", large, None],
            "blob": pa.array([large.encode(), None, None], pa.binary()),
        }
    )
    path = tmp_path / "m.parquet"
    pq.write_table(rows, path)
    unit = UnitSpec(0, str(path), 0, 3, "", "f")
    schema = rows.schema.remove(0)
    table = Loader(get_task("tokenize"), schema)(unit.to_table())
    assert table["error_kind"].to_pylist() == ["too_large", "too_large", None]
    first, second, _ = table["error_message"].to_pylist()
    assert f"column 'blob': a value of {len(large)} bytes; at most {MAX_VALUE_BYTES}" in first
    assert "column 'note'" in second
    assert [row["note"] for row in table["input"].to_pylist()] == ["fine", None, None]
    assert table["input"].nbytes < 1000
    shown = errors_table(table, [0, 1]).to_pylist()
    assert all(len(row["input"]) < 200 for row in shown)
    refused = Loader(get_task("tokenize"), schema, limits=Limits(len(GOOD)))(unit.to_table())
    assert refused["error_kind"].to_pylist() == ["too_large"] * 3


def test_sounds_that_a_task_does_not_hear_cost_nothing(tmp_path: Path) -> None:
    sounds = [{"bytes": b"x" * (MAX_VALUE_BYTES + 1), "path": "a.wav"}]
    rows = pa.table({"id": ["a"], "audio": sounds, "text": ["hi"]})
    pq.write_table(rows, tmp_path / "m.parquet")
    unit = UnitSpec(0, str(tmp_path / "m.parquet"), 0, 1, "", "f")
    table = Loader(get_task("tts"), rows.schema.remove(0))(unit.to_table())
    assert table["error_kind"].to_pylist() == [None]
    assert table["input"].to_pylist()[0]["audio"] == "a.wav"


def test_a_text_that_is_too_large_is_too_long(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b"], "text": ["x" * (MAX_VALUE_BYTES + 1), "hi"]})
    pq.write_table(rows, tmp_path / "m.parquet")
    unit = UnitSpec(0, str(tmp_path / "m.parquet"), 0, 2, "", "f")
    table = Loader(get_task("tts"), rows.schema.remove(0))(unit.to_table())
    assert table["error_kind"].to_pylist() == ["too_long", None]
    assert f"a value of {MAX_VALUE_BYTES + 1} bytes" in table["error_message"][0].as_py()
