"""Lhotse's cuts, written by Lhotse itself, as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from actors.batch.names import FAULT_COLUMN
from actors.inputs.audio import load_wave
from actors.storage.addresses import AddressPolicy
from pipelines.manifest.discovery import find_sources
from pipelines.manifest.formats.text_formats import parse_jsonl
from pipelines.manifest.tables.scan import Scan
from pipelines.manifest.toolkits.lhotse import is_lhotse, lhotse_row
from tests.conftest import tone


def _cut(path: Path, name: str, channel: int = 0, **facts: Any) -> MonoCut:
    recording = Recording.from_file(path)
    spoken = SupervisionSegment(
        id=name, recording_id=recording.id, start=0, duration=0.5, text="one two", speaker="s1",
        channel=channel,
    )  # fmt: skip
    return MonoCut(
        id=name, start=0.25, duration=0.5, channel=channel, supervisions=[spoken],
        recording=recording, **facts,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_cuts_become_spans_of_their_recordings(tmp_path: Path, suffix: str) -> None:
    wave = tone(1.0, 16_000, 2)
    wave[:, 1] = 0.0  # the second channel is silent
    soundfile.write(tmp_path / "call.wav", wave, 16_000)
    cuts = [
        _cut(tmp_path / "call.wav", "left", custom={"score": 0.5}),
        _cut(tmp_path / "call.wav", "right", channel=1),
        _cut(tmp_path / "call.wav", "fast").perturb_speed(1.1),
        _cut(tmp_path / "call.wav", "mixed").append(_cut(tmp_path / "call.wav", "more")),
    ]
    CutSet.from_cuts(cuts).to_file(tmp_path / f"cuts{suffix}")
    (source,) = find_sources(str(tmp_path / f"cuts{suffix}"))
    assert source.table is not None
    rows = source.table.to_pylist()
    left, right = rows[0], rows[1]
    assert (left["id"], left["text"], left["speaker"]) == ("left", "one two", "s1")
    assert (left["start_s"], left["end_s"], left["audio_channel"]) == (0.25, 0.75, 0)
    assert left["custom"] == {"score": 0.5}
    loud, silent = (load_wave(row, AddressPolicy(source.base), 60.0) for row in (left, right))
    assert len(loud) == len(silent) == 12_000
    assert loud.abs().max() > 0.2
    assert silent.abs().max() == 0.0
    assert "transforms" in rows[2][FAULT_COLUMN]
    assert "MixedCut" in rows[3][FAULT_COLUMN]
    assert all(row[FAULT_COLUMN] is None for row in rows[:2])


@pytest.mark.parametrize(
    ("channel", "taken"), [([0, 1], None), ([1], 1), ([0, 1, 2], None), ([0, 2], "fails")]
)
def test_channels_of_a_multi_cut(channel: list[int], taken: int | str | None) -> None:
    channels = [0, 1, 2] if 2 in channel else [0, 1]
    source = {"type": "file", "channels": channels, "source": "a.wav"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 16000}
    cut = {"type": "MultiCut", "id": "c", "start": 0, "duration": 1, "channel": channel}
    row = lhotse_row({**cut, "recording": recording})
    if taken == "fails":
        assert isinstance(row, str)
        assert "2 of 3 channels" in row
    else:
        assert isinstance(row, dict)
        assert row.get("audio_channel") == taken


def test_a_command_is_never_run(tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    source = {"type": "command", "channels": [0], "source": f"touch {flag}"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 1}
    assert is_lhotse(recording)
    said = lhotse_row(recording)
    assert isinstance(said, str)
    assert "never run" in said
    assert not flag.exists()


_VALUES = st.sampled_from([None, 1, "x", float("nan"), [], [{}], {}, {"sources": [{}]}, [["x"]]])
_KEYS = st.sampled_from(["id", "start", "duration", "recording", "sources", "supervisions"])


@given(st.dictionaries(_KEYS, _VALUES))
def test_nothing_breaks_the_reader(row: dict[str, Any]) -> None:
    assert isinstance(lhotse_row({**row, "type": "MonoCut"}), dict | str)
    assert isinstance(lhotse_row({**row, "sampling_rate": 1}), dict | str)


def test_fields_that_no_row_takes_up_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, 16_000), 16_000)
    cut = _cut(tmp_path / "a.wav", "a").to_dict()
    cut["features"] = {"type": "fbank"}
    cut["supervisions"][0] |= {"alignment": {"word": []}, "custom": {"snr": 3}, "speaker": None}
    scan = Scan()
    assert parse_jsonl(json.dumps(cut).encode(), scan).num_rows == 1
    assert scan.noticed.notes() == (
        "not used of Lhotse cuts: features, supervisions.alignment, supervisions.custom",
    )
    scan = Scan()
    plain = json.dumps(_cut(tmp_path / "a.wav", "a").to_dict()) + '\n{"features": 1, "text": "x"}'
    assert parse_jsonl(plain.encode(), scan).num_rows == 2
    assert scan.noticed.notes() == ()
