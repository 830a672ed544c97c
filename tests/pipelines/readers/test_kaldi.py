"""Kaldi data folders as rows, their pipes refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.addresses import AddressPolicy
from actors.audio_rows import load_wave
from actors.load import FAULT_COLUMN
from pipelines.errors import UsageError
from pipelines.manifest import find_sources
from pipelines.readers.kaldi import read_kaldi


def _folder(folder: Path, **files: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return str(folder)


def test_segments_text_and_speakers(tmp_path: Path, make_audio: Callable[..., Path]) -> None:
    path = make_audio("a b.wav", 2.0, 16_000)  # the rest of the line is the path, spaces and all
    data = _folder(
        tmp_path / "data",
        wav_scp=f"rec1 {path}\nrec2 s3://bucket/b.flac\n",
        segments="u1 rec1 0.5 1.25\nu2 rec1 1.0 -1\nu3 gone 0 1\nu4 rec2 0 x\n",
        text="u1 one two\nu2\n",
        utt2spk="u1 ann\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    u1, u2, u3, u4 = source.table.to_pylist()
    assert (u1["id"], u1["text"], u1["speaker"], u1["recording"]) == (
        "u1",
        "one two",
        "ann",
        "rec1",
    )
    assert len(load_wave(u1, AddressPolicy(source.base), 60.0)) == 0.75 * 24_000
    assert (u2["end_s"], u2["text"]) == (None, "")
    assert len(load_wave(u2, AddressPolicy(source.base), 60.0)) == 24_000
    assert "'gone' is not in wav.scp" in u3[FAULT_COLUMN]
    assert "u4 rec2 0 x" in u4[FAULT_COLUMN]


def test_pipes_and_archives_are_rows_that_fail(tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    data = _folder(
        tmp_path / "data",
        wav_scp=f"a touch {flag} |\nb | touch {flag}\nc {tmp_path}/x.ark:15\nd\ne sub/e.wav\n",
    )
    (source,) = find_sources(data)
    assert source.table is not None
    rows = source.table.to_pylist()
    faults = [row[FAULT_COLUMN] for row in rows]
    assert "never run" in faults[0]
    assert "never run" in faults[1]
    assert "archive" in faults[2]
    assert "without a path" in faults[3]
    assert (faults[4], rows[4]["audio"]) == (None, "sub/e.wav")
    assert [row["id"] for row in rows] == list("abcde")
    assert source.base == data
    assert not flag.exists()


def test_the_file_itself_names_its_folder(tmp_path: Path) -> None:
    data = _folder(tmp_path / "data", wav_scp="a x.wav\n")
    assert find_sources(f"{data}/wav.scp")[0].base == data
    with pytest.raises(UsageError, match="not known"):
        (tmp_path / "other.scp").write_text("a x.wav\n")
        find_sources(str(tmp_path / "other.scp"))


@given(st.binary(max_size=200), st.none() | st.binary(max_size=200), st.binary(max_size=100))
@settings(deadline=None)
def test_no_bytes_break_the_reader(scp: bytes, segments: bytes | None, text: bytes) -> None:
    files = {"wav.scp": scp, "segments": segments, "text": text}
    table = read_kaldi(files.get)
    assert all(row.get("audio") or row[FAULT_COLUMN] for row in table.to_pylist())
