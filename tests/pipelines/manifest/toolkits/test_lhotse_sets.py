"""Lhotse's manifests that are whole only together, written by Lhotse itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from lhotse import (
    AudioSource,
    CutSet,
    Recording,
    RecordingSet,
    SupervisionSegment,
    SupervisionSet,
)
from lhotse.shar import SharWriter
from lhotse.utils import fastcopy

from actors.batch.audio_values import listed_files
from actors.batch.names import FAULT_COLUMN
from actors.inputs.audio import load_wave
from actors.stages.load import Loader
from actors.storage.addresses import AddressPolicy
from pipelines.errors import UsageError
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.sources import Source
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.toolkits.lhotse_sets import (
    filled,
    is_supervision,
    recordings_name,
    shar_tar,
)
from pipelines.planning.plan import make_plan
from tests.conftest import tone
from uniaudio2.tasks.table import get_task

ASR = get_task("asr")


def _meeting(folder: Path) -> CutSet:
    """A recording of two files of one channel, one speaker on each, as AMI's headsets are, and a
    recording of one; ``x_recordings_dev`` and ``x_supervisions_dev`` of them."""
    for name, level in (("ch0", 0.5), ("ch1", 0.25), ("one", 1.0)):
        soundfile.write(folder / f"{name}.wav", tone(2.0, 16_000) * level, 16_000)
    sources = [AudioSource("file", [n], str(folder / f"ch{n}.wav")) for n in range(2)]
    meeting = Recording("meeting", sources, 16_000, 32_000, 2.0, [0, 1])
    recordings = RecordingSet.from_recordings(
        [meeting, Recording.from_file(folder / "one.wav"), Recording.from_file(folder / "ch0.wav")]
    )
    spoken = [
        SupervisionSegment(
            f"s{n}", "meeting", 0.5 * n, 0.5, n, f"words {n}", "en", f"speaker {n}", custom={"n": n}
        )
        for n in range(2)
    ]
    spoken.append(SupervisionSegment("s2", "one", 0.0, 1.0, text="more"))
    supervisions = SupervisionSet.from_segments(spoken)
    recordings.to_file(folder / "x_recordings_dev.jsonl.gz")
    supervisions.to_file(folder / "x_supervisions_dev.jsonl.gz")
    return CutSet.from_manifests(recordings, supervisions).trim_to_supervisions(
        keep_overlapping=False
    )


def _rows(source: Source) -> list[dict[str, Any]]:
    assert source.table is not None
    rows: list[dict[str, Any]] = source.table.to_pylist()
    return rows


@pytest.mark.parametrize("name", ["", "x_supervisions_dev.jsonl.gz"])
def test_supervisions_are_heard_in_their_recordings(tmp_path: Path, name: str) -> None:
    _meeting(tmp_path)
    scan = Scan()
    (source,) = find_sources(str(tmp_path / name), scan)
    first, second, third = _rows(source)
    assert (first["id"], first["text"], first["speaker"]) == ("s0", "words 0", "speaker 0")
    assert (second["audio"], second["language"]) == (str(tmp_path / "ch1.wav"), "en")
    assert (second["start_s"], second["end_s"], second["custom"]) == (0.5, 1.0, {"n": 1})
    assert (third["id"], third["text"]) == ("s2", "more")
    loud, low = (load_wave(row, AddressPolicy(source.base), 9.0) for row in (first, second))
    assert len(loud) == 12_000
    assert float(loud.abs().max()) == pytest.approx(2 * float(low.abs().max()), rel=0.01)
    (unused,) = [left for left in scan.noticed.left_out if left.what == "recordings"]
    assert unused.count == 1


def test_cuts_beside_the_pair_are_read_instead(tmp_path: Path) -> None:
    cuts = _meeting(tmp_path)
    cuts.to_file(tmp_path / "x_cuts_dev.jsonl.gz")
    plan = make_plan(str(tmp_path), ASR)
    assert plan.rows == 3
    assert any(left.what == "manifests of Lhotse" and left.count == 2 for left in plan.left_out)


def test_a_cut_names_the_file_of_its_channel(tmp_path: Path) -> None:
    cuts = _meeting(tmp_path)
    cuts.to_file(tmp_path / "cuts.jsonl")
    rows = _rows(find_sources(str(tmp_path / "cuts.jsonl"))[0])
    assert [Path(row["audio"]).name for row in rows] == ["ch0.wav", "ch1.wav", "one.wav"]
    RecordingSet.from_file(tmp_path / "x_recordings_dev.jsonl.gz").to_file(tmp_path / "r.jsonl")
    meeting, *_ = _rows(find_sources(str(tmp_path / "r.jsonl"))[0])
    assert [Path(name).name for name in listed_files(meeting["audio"])] == ["ch0.wav", "ch1.wav"]


def test_a_multi_cut_is_heard_in_the_files_of_its_channels(tmp_path: Path) -> None:
    """As Lhotse hears it, averaged; its sources may stand in any order."""
    for channel in range(3):
        soundfile.write(tmp_path / f"{channel}.wav", tone(1.0, hz=300.0 + channel), 24_000)
    sources = [AudioSource("file", [n], str(tmp_path / f"{n}.wav")) for n in (2, 0, 1)]
    meeting = Recording("m", sources, 24_000, 24_000, 1.0, [0, 1, 2])
    cut = meeting.to_cut().truncate(offset=0.25, duration=0.5)
    two = fastcopy(cut, id="two", channel=[0, 2])
    CutSet.from_cuts([cut, two]).to_file(tmp_path / "cuts.jsonl.gz")
    (source,) = find_sources(str(tmp_path / "cuts.jsonl.gz"))
    rows = _rows(source)
    assert [[Path(name).stem for name in listed_files(row["audio"])] for row in rows] == [
        ["0", "1", "2"], ["0", "2"],
    ]  # fmt: skip
    for row, wanted in zip(rows, (cut, two), strict=True):
        heard = torch.from_numpy(wanted.load_audio()).mean(0)
        assert torch.allclose(load_wave(row, AddressPolicy(""), 9.0), heard, atol=1e-6)


def test_sources_of_several_channels_each_are_refused(tmp_path: Path) -> None:
    sources = [AudioSource("file", [0, 1], "a.wav"), AudioSource("file", [2], "b.wav")]
    meeting = Recording("m", sources, 24_000, 24_000, 1.0, [0, 1, 2])
    RecordingSet.from_recordings([meeting]).to_file(tmp_path / "r.jsonl")
    (row,) = _rows(find_sources(str(tmp_path / "r.jsonl"))[0])
    assert "recording of 2 files" in row[FAULT_COLUMN]
    assert "MonoCuts" in row[FAULT_COLUMN]


def test_a_recording_that_is_missing_is_a_row_that_fails(tmp_path: Path) -> None:
    _meeting(tmp_path)
    (tmp_path / "x_recordings_dev.jsonl.gz").rename(tmp_path / "elsewhere")
    uri = str(tmp_path / "x_supervisions_dev.jsonl.gz")
    with pytest.raises(UsageError, match=r"not beside it, in 'x_recordings_dev\.jsonl\.gz'"):
        find_sources(uri)
    RecordingSet.from_recordings([Recording.from_file(tmp_path / "one.wav")]).to_file(
        tmp_path / "x_recordings_dev.jsonl.gz"
    )
    rows = _rows(find_sources(uri)[0])
    assert [row["id"] for row in rows if row[FAULT_COLUMN]] == ["s0", "s1"]
    assert "whose recording is not in the file" in rows[0][FAULT_COLUMN]


@pytest.mark.parametrize("name", ["", "cuts.000001.jsonl.gz"])
def test_shar_is_read_where_it_is(tmp_path: Path, name: str) -> None:
    """Both first cuts are of one recording, by its id; what they hold is not the same."""
    cuts = list(_meeting(tmp_path))
    shar = tmp_path / "shar"
    shar.mkdir()
    with SharWriter(str(shar), {"recording": "flac"}, shard_size=2) as writer:
        for cut in cuts:
            writer.write(cut)
    plan = make_plan(str(shar / name), ASR)
    assert not plan.left_out
    loaded = [Loader(ASR, plan.schema)(unit.to_table()) for unit in plan.units]
    rows = [row for table in loaded for row in table.to_pylist()]
    wanted = cuts[2:] if name else cuts
    assert [row["id"] for row in rows] == [cut.id for cut in wanted]
    assert [row["input_samples"] for row in rows] == [round(c.duration * 24_000) for c in wanted]
    waves = [
        load_wave(row, AddressPolicy(source.base, tar=source.uri), 9.0)
        for source in find_sources(str(shar / name))
        for row in _rows(source)
    ]
    for wave, cut in zip(waves, wanted, strict=True):
        loudest = torch.from_numpy(cut.load_audio()).abs().max()
        assert float(wave.abs().max()) == pytest.approx(float(loudest), rel=0.01)


def test_a_cut_of_shar_without_its_audio_fails_by_name(tmp_path: Path) -> None:
    cuts = list(_meeting(tmp_path))
    shar = tmp_path / "shar"
    shar.mkdir()
    with SharWriter(str(shar), {"recording": "wav"}) as writer:
        for cut in cuts:
            writer.write(cut)
    (shar / "recording.000000.tar").unlink()
    rows = _rows(find_sources(str(shar / "cuts.000000.jsonl.gz"))[0])
    assert [row["id"] for row in rows] == [cut.id for cut in cuts]
    assert all("not in the tar beside it" in row[FAULT_COLUMN] for row in rows)


@pytest.mark.parametrize("how", ["base64", "hex"])
def test_cuts_in_memory(tmp_path: Path, how: str) -> None:
    """Lhotse itself writes them as YAML alone; whoever writes JSON must choose a text."""
    cut = next(iter(_meeting(tmp_path))).move_to_memory("flac").to_dict()
    (source,) = cut["recording"]["sources"]
    data = source["source"]
    source["source"] = data.hex() if how == "hex" else base64.b64encode(data).decode()
    torn = json.dumps(cut).replace(source["source"], "%%%")
    named = json.dumps(next(iter(_meeting(tmp_path))).to_dict())
    (tmp_path / "cuts.jsonl").write_text("\n".join([json.dumps(cut), torn, named]))
    found = find_sources(str(tmp_path / "cuts.jsonl"))[0]
    row, broken, other = _rows(found)
    assert row["audio"] == data
    assert len(load_wave(row, AddressPolicy(found.base), 9.0)) == 12_000
    assert "neither base64 nor hexadecimal" in broken[FAULT_COLUMN]
    assert "%%%" not in broken[FAULT_COLUMN]
    assert "keep either kind in a manifest of its own" in other[FAULT_COLUMN]


def test_names_that_belong_together() -> None:
    assert recordings_name("a/x_supervisions_dev.jsonl.gz") == "a/x_recordings_dev.jsonl.gz"
    assert recordings_name("x_cuts.jsonl") is None
    assert shar_tar("s/cuts.000012.jsonl.gz") == "s/recording.000012.tar"
    assert shar_tar("cuts.jsonl") == "recording.tar"
    assert shar_tar("my_cuts.000012.jsonl.gz") is None
    assert not is_supervision({"id": "a", "start": 0, "duration": 1})
    odd = {"id": "a", "recording": {"sources": "x"}}
    assert filled({"a.flac": "t#bytes=0+1"})(odd) == odd
