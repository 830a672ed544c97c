"""Encoding: short and long audio, whole and in spans, beside rows that bring codes."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from actors.batch.table import read_codes, start_table, write_codes
from actors.inputs import audio
from actors.inputs.audio import AudioSource, LoadedAudio, load_audio
from actors.inputs.audio_columns import write_loaded
from actors.stages.encode import Encoder
from actors.storage.addresses import AddressPolicy
from tests.conftest import tone
from uniaudio2.audio.spans import SpanRule
from uniaudio2.tokens.codes import Codes

RULE = SpanRule(max_s=1.0, pause_s=0.3)


@functools.cache
def encoder(batch: int) -> Encoder:
    return Encoder("tiny", batch=batch)


def encoded(loaded: dict[int, LoadedAudio], brought: dict[int, Codes], batch: int = 2) -> pa.Table:
    count = len(loaded) + len(brought)
    table = start_table([f"r{row}" for row in range(count)], pa.array([{"x": 1}] * count), 0)
    return encoder(batch)(write_codes(write_loaded(table, loaded), brought))


def same(one: Codes, other: Codes) -> bool:
    return torch.equal(one.reason, other.reason) and torch.equal(one.recon, other.recon)


def test_rows_with_codes_are_not_encoded() -> None:
    brought = Codes(torch.full((1, 8), 3), torch.full((2, 8), 4))
    clip = torch.from_numpy(tone(0.3))
    result = encoded({1: LoadedAudio(len(clip), clip)}, {0: brought})
    assert not {"wave", "source"} & set(result.column_names)
    assert same(read_codes(result, 0), brought)
    assert same(read_codes(result, 1), encoder(2).model.encode([clip])[0])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three sounds in 4 seconds, at another rate than the model's."""
    rng = np.random.default_rng(0)
    wave = np.zeros(4 * 16_000, np.float32)
    for start in (0.2, 1.5, 2.9):
        first = int(start * 16_000)
        wave[first : first + 12_800] = 0.3 * rng.standard_normal(12_800)
    soundfile.write(tmp_path / "a.flac", wave, 16_000)
    return tmp_path / "a.flac"


@pytest.mark.parametrize("rule", [None, RULE], ids=["whole", "spans"])
def test_long_audio_gives_the_codes_that_it_would_in_memory(
    recording: Path, rule: SpanRule | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"audio": str(recording)}
    short = load_audio(row, AddressPolicy(""), 60, rule=rule)
    monkeypatch.setattr(audio, "WHOLE_S", 1.0)
    long = load_audio(row, AddressPolicy(""), 60, rule=rule)
    assert (short.wave is None, long.wave is None) == (False, True)
    assert short.samples == long.samples == 96_000
    assert (short.spans is None) == (rule is None)
    first = encoded({0: short, 1: long}, {}, batch=3)
    if rule is None:
        assert same(read_codes(first, 0), read_codes(first, 1))
    else:
        # the energies of both rates need not agree to the last frame
        assert len(short.spans or ()) == len(long.spans or ()) == 3
        wave = short.wave
        assert wave is not None
        clips = [wave[start:stop] for start, stop in long.spans or ()]
        assert same(read_codes(first, 1), Codes.join(encoder(2).model.encode(clips)))
    again = encoded({0: long}, {}, batch=1)
    assert same(read_codes(first, 1), read_codes(again, 0))


def test_long_audio_that_is_gone_or_silent(recording: Path) -> None:
    gone = LoadedAudio(96_000, source=AudioSource("/absent.wav", None, 0.0, None))
    silent = LoadedAudio(96_000, source=AudioSource(str(recording), None, 0.0, None), spans=[])
    result = encoded({0: gone, 1: silent}, {})
    assert result["error_kind"].to_pylist() == ["missing_file", None]
    assert len(read_codes(result, 1).recon) == 0
