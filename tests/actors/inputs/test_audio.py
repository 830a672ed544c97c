"""A row whose audio is a list of files, as it is loaded and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.batch.audio_values import list_text
from actors.inputs.audio import LoadedAudio, load_audio, load_wave
from actors.inputs.audio_columns import read_loaded, write_loaded
from actors.inputs.each_channel import load_channels
from actors.storage.addresses import AddressPolicy
from actors.storage.fetch import Limits
from tests.conftest import wav_bytes
from uniaudio2.audio.files import whole
from uniaudio2.audio.spans import SpanRule
from uniaudio2.errors import BadRow

RATE = 8_000
FILES = ["ch0.wav", "ch1.wav", "ch2.wav"]


def _recording(folder: Path, seconds: float) -> AddressPolicy:
    """``all.wav`` of three channels, and a file of each beside it."""
    draws = np.random.default_rng(3).integers(-16_000, 16_000, (round(seconds * RATE), 3))
    wave = (draws / 32_768).astype(np.float32)
    (folder / "all.wav").write_bytes(wav_bytes(wave, RATE))
    for name, one in zip(FILES, wave.T, strict=True):
        (folder / name).write_bytes(wav_bytes(one, RATE))
    return AddressPolicy(str(folder))


@pytest.mark.parametrize("value", [FILES, list_text(FILES)])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"audio_channel": 1},
        {"audio_channel": "mix", "start_s": 0.25, "end_s": 0.75},
        {"channel_selector": 2, "offset": 0.5, "duration": 0.25},
    ],
)
def test_the_wave_is_that_of_one_file(tmp_path: Path, value: Any, more: dict[str, Any]) -> None:
    policy = _recording(tmp_path, 1.0)
    wanted = load_wave({"audio": "all.wav", **more}, policy, 9.0)
    assert torch.equal(load_wave({"audio_filepath": value, **more}, policy, 9.0), wanted)


@pytest.mark.parametrize("seconds", [1.0, 61.0])
def test_each_channel_is_that_of_one_file(tmp_path: Path, seconds: float) -> None:
    policy = _recording(tmp_path, seconds)
    many = load_channels({"audio": FILES}, policy, 99.0)
    one = load_channels({"audio": "all.wav"}, policy, 99.0)
    assert list(many) == list(one) == [0, 1, 2]
    for channel in range(3):
        found, wanted = many[channel], one[channel]
        assert isinstance(found, LoadedAudio)
        assert isinstance(wanted, LoadedAudio)
        assert found.samples == wanted.samples
        assert found.source is not None
        assert wanted.source is not None
        with found.source.open() as stream, wanted.source.open() as other:
            assert torch.equal(whole(stream), whole(other))
    (beyond,) = load_channels({"audio": FILES}, policy, 99.0, wanted=[3]).values()
    assert isinstance(beyond, BadRow)
    assert "channel 3 of a list of 3 files" in beyond.message


def test_long_files_travel_by_their_names_and_are_cut_alike(tmp_path: Path) -> None:
    policy = _recording(tmp_path, 61.0)
    rule = SpanRule(max_s=20.0, pause_s=2.0)
    loaded, one = (
        load_audio({"audio": value}, policy, 99.0, rule=rule) for value in (FILES, "all.wav")
    )
    assert loaded.wave is None
    assert loaded.spans == one.spans
    table = write_loaded(pa.table({"id": ["a"]}), {0: loaded})
    source = read_loaded(table, 0).source
    assert source is not None
    assert source.files == tuple(FILES)
    with source.open() as stream:
        assert torch.equal(whole(stream), load_wave({"audio": "all.wav"}, policy, 99.0))


def test_limits_and_policy_hold_for_every_file(tmp_path: Path) -> None:
    policy = _recording(tmp_path, 1.0)
    (tmp_path / "ch2.wav").write_bytes((tmp_path / "all.wav").read_bytes())
    with pytest.raises(BadRow, match=r"'.*ch2\.wav': \d+ bytes; the limit is 20000"):
        load_wave({"audio": FILES}, policy, 9.0, Limits(max_bytes=20_000))
    with pytest.raises(BadRow, match=r"file 3 of 3, 'ch2\.wav': has 3 channels"):
        load_wave({"audio": FILES}, policy, 9.0)
    with pytest.raises(BadRow, match="named by a manifest from elsewhere"):
        load_wave({"audio": ["a.wav", "/etc/passwd"]}, AddressPolicy("s3://mine/set"), 9.0)
