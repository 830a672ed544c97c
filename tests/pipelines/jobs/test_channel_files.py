"""Recordings in several files of one channel, from the manifest to results and resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.batch.audio_values import list_text
from pipelines import run_job
from pipelines.cli.demo import read_results
from pipelines.config.make_job import make_job
from tests.conftest import tone, wav_bytes
from tests.pipelines.jobs.test_pending import TOKENIZE


def _corpus(folder: Path) -> list[list[str]]:
    """Two recordings of two microphones, and one of three."""
    files = [[f"r{row}_ch{channel}.wav" for channel in range(2 + row // 2)] for row in range(3)]
    for row, names in enumerate(files):
        for channel, name in enumerate(names):
            wave = tone(0.5, 16_000, hz=200.0 * (row + 1) + 37 * channel)
            (folder / name).write_bytes(wav_bytes(wave, 16_000))
    return files


def _run(
    folder: Path, computed: int, manifest: str = "m.json", **settings: Any
) -> dict[str, dict[str, Any]]:
    given = {"input": str(folder / manifest), "output": str(folder / "out"), "model": "tiny"}
    result = run_job(make_job({**TOKENIZE, **settings, **given, "task": "tokenize"}))
    assert result.computed == computed
    return {row["id"]: row for row in read_results(str(folder / "out"))}


def _write(folder: Path, files: list[list[str]]) -> None:
    lines = [
        {"id": f"r{row}", "audio_filepath": names, "duration": 0.5}
        for row, names in enumerate(files)
    ]
    (folder / "m.json").write_text("\n".join(map(json.dumps, lines)))


def test_a_run_hears_lists_and_does_again_the_row_one_of_whose_files_changed(
    tmp_path: Path,
) -> None:
    files = _corpus(tmp_path)
    _write(tmp_path, files)
    before = _run(tmp_path, 3)
    assert sorted(before) == ["r0", "r1", "r2"]
    assert [before[f"r{row}"]["audio_filepath"] for row in range(3)] == list(map(list_text, files))
    (tmp_path / files[1][1]).write_bytes(wav_bytes(tone(0.75, 16_000, hz=900.0), 16_000))
    after = _run(tmp_path, 1)
    assert [name for name in before if before[name] != after[name]] == ["r1"]
    assert after["r1"]["input_duration_s"] == pytest.approx(0.75)
    assert (after["r1"]["input_mix"], after["r1"]["input_short_by_s"]) == ("padded", 0.25)


def test_a_file_that_is_missing_or_broken_costs_its_row_with_its_name(tmp_path: Path) -> None:
    files = _corpus(tmp_path)
    (tmp_path / files[0][1]).unlink()
    (tmp_path / files[1][1]).write_bytes(b"RIFF no wave")
    _write(tmp_path, files)
    assert sorted(_run(tmp_path, 3)) == ["r2"]
    (path,) = (tmp_path / "out" / "errors").rglob("*.parquet")
    missing, broken = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["id"])
    assert (missing["kind"], broken["kind"]) == ("missing_file", "unreadable_audio")
    assert "r0_ch1.wav" in missing["message"]
    assert "manifest.base=DIR" in missing["message"]
    assert broken["message"].startswith("file 2 of 2, 'r1_ch1.wav': ")


def test_each_file_is_a_row_where_each_channel_is(tmp_path: Path) -> None:
    files = _corpus(tmp_path)
    (tmp_path / files[0][1]).unlink()
    lists = pa.table({"id": ["r0", "r2"], "audio": [files[0], files[2]]})
    pq.write_table(lists, tmp_path / "m.parquet")
    rows = _run(tmp_path, 5, "m.parquet", audio={"channel": "each"})
    assert sorted(rows) == ["r0/ch0", "r2/ch0", "r2/ch1", "r2/ch2"]
    assert [rows[f"r2/ch{n}"]["audio_channel"] for n in range(3)] == [0, 1, 2]
    assert rows["r2/ch2"]["audio"] == list_text(files[2])
    assert len({str(rows[f"r2/ch{n}"]["reason_codes"]) for n in range(3)}) == 3
    (path,) = (tmp_path / "out" / "errors").rglob("*.parquet")
    (error,) = pq.read_table(path).to_pylist()
    assert (error["id"], error["kind"]) == ("r0/ch1", "missing_file")
