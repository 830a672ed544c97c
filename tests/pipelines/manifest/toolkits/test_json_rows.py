"""JSON objects of NeMo, WeNet and FunASR as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.batch.audio_values import listed_files
from actors.batch.names import FAULT_COLUMN
from actors.stages.load import Loader
from pipelines.config.input_settings import ManifestConfig
from pipelines.manifest.formats.text_formats import parse_jsonl
from pipelines.manifest.tables.scan import Scan
from pipelines.planning.plan import make_plan
from tests.conftest import tone, wav_bytes
from uniaudio2.tasks.table import get_task


def _rows(*objects: dict[str, Any], scan: Scan | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parse_jsonl(
        "\n".join(map(json.dumps, objects)).encode(), scan
    ).to_pylist()
    return found


@pytest.mark.parametrize("layout", ["lines", "one line", "indented"])
def test_a_nemo_manifest_named_json_however_it_is_written(tmp_path: Path, layout: str) -> None:
    entries = [
        {"audio_filepath": f"{n}.wav", "offset": 0.25, "duration": 0.5, "text": f"text {n}"}
        for n in range(3)
    ]
    for n in range(3):
        (tmp_path / f"{n}.wav").write_bytes(wav_bytes(tone(1.0)))
    text = {
        "lines": "\n".join(map(json.dumps, entries)),
        "one line": json.dumps(entries),
        "indented": json.dumps(entries, indent=4),
    }[layout]
    (tmp_path / "manifest.json").write_text(text)
    plan = make_plan(str(tmp_path / "manifest.json"), get_task("asr"))
    loaded = [Loader(get_task("asr"), plan.schema)(unit.to_table()) for unit in plan.units]
    rows = [row for table in loaded for row in table.to_pylist()]
    assert [row["input_samples"] for row in rows] == [12_000] * 3
    assert [row["input"]["text"] for row in rows] == ["text 0", "text 1", "text 2"]


def test_a_list_of_one_channel_files_is_kept_as_text_or_the_one_that_is_chosen() -> None:
    files = ["ch0.wav", "ch1.wav"]
    one, named, single, unchosen, mixed, beyond = _rows(
        {"audio_filepath": files, "channel_selector": 1, "text": "x"},
        {"audio_filepath": files, "audio_channel": "left"},
        {"audio_filepath": ["only.wav"]},
        {"audio_filepath": files},
        {"audio_filepath": files, "channel_selector": "average"},
        {"audio_filepath": files, "channel_selector": 2},
    )
    assert (one["audio_filepath"], one["audio_channel"]) == ("ch1.wav", "mix")
    assert (one["channel_selector"], one["text"]) == ("1", "x")
    assert (named["audio_filepath"], named["audio_channel"]) == ("ch0.wav", "mix")
    assert (single["audio_filepath"], single["audio_channel"]) == ("only.wav", None)
    for row in (unchosen, mixed):
        assert listed_files(row["audio_filepath"]) == tuple(files)
        assert row["audio_channel"] is None
    assert beyond[FAULT_COLUMN].startswith("line 6: ")
    assert "a list of 2 files, the channels of one recording" in beyond[FAULT_COLUMN]


def test_wenet_and_funasr_are_taken_by_their_fields() -> None:
    scan = Scan()
    wenet, span = _rows(
        {"key": "u1", "wav": "/a.wav", "txt": "one"},
        {"key": "u2", "wav": "/a.wav", "txt": "two", "start": 1.5, "end": 2.0},
        scan=scan,
    )
    assert (wenet["id"], wenet["audio"], wenet["text"]) == ("u1", "/a.wav", "one")
    assert (span["start_s"], span["end_s"]) == (1.5, 2.0)
    assert "WeNet's" in scan.noticed.found[0]
    (funasr,) = _rows(
        {"key": "u1", "source": "/a.wav", "source_len": 90, "target": "one", "target_len": 1}
    )
    assert funasr == {
        "id": "u1", "audio": "/a.wav", "source_len": 90, "text": "one", "target_len": 1,
    }  # fmt: skip


def test_what_only_looks_like_a_toolkit_stays_as_it_is() -> None:
    for other in (
        {"key": "u1", "source": "guten Tag", "target": "good day"},  # of a translation
        {"key": "u1", "wav": "/a.wav", "txt": "x", "audio": "/b.wav"},
        {"key": "u1", "wav": "/a.wav"},
    ):
        assert _rows(other) == [other]
    row = {"key": "u1", "wav": "/a.wav", "txt": "x"}
    assert _rows(row, scan=Scan(names={"audio": "wav"})) == [row]  # the user's word comes first
    (fault,) = _rows({"key": "u1", "source": "/raw.ark:17", "target": "x"})
    assert (fault["id"], "wav-copy" in fault[FAULT_COLUMN]) == ("u1", True)


def test_data_list_of_wenet(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.5)))
    lines = [json.dumps({"key": "u1", "wav": "a.wav", "txt": "one"}), "torn"]
    (tmp_path / "data.list").write_text("\n".join(lines))
    plan = make_plan(str(tmp_path / "data.list"), get_task("asr"), manifest=ManifestConfig())
    assert plan.rows == 2
    tables = [unit.to_table() for unit in plan.units]
    good, bad = (Loader(get_task("asr"), plan.schema)(table) for table in tables)
    assert (good["id"].to_pylist(), good["input_samples"].to_pylist()) == (["u1"], [12_000])
    assert bad["id"].to_pylist() == ["line-2"]
