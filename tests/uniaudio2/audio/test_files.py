"""Decoding of every format and of everything that is none."""

from __future__ import annotations

import io
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import tone, wav_bytes
from uniaudio2.audio.files import decode_audio, encode_audio
from uniaudio2.errors import BadRow


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_formats_and_rates(make_audio: Callable[..., Path], name: str, rate: int) -> None:
    data = make_audio(name, 0.5, rate, channels=2).read_bytes()
    wave = decode_audio(data)
    frames = soundfile.info(io.BytesIO(data)).frames
    assert wave.dtype == torch.float32
    assert len(wave) == -(-frames * 24_000 // rate)
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    assert middle.abs().max() == pytest.approx(0.3, abs=0.05)


def test_many_channels_at_192_khz_are_averaged() -> None:
    samples = np.zeros((19_200, 8), dtype=np.float32)
    samples[:, 0] = 0.8
    wave = decode_audio(wav_bytes(samples, 192_000, "FLOAT"))
    assert len(wave) == 2400
    assert wave[1200] == pytest.approx(0.1, abs=1e-3)


def test_a_span_is_cut_out() -> None:
    samples = np.concatenate([tone(0.5), np.zeros(12_000, np.float32)])
    data = wav_bytes(samples)
    assert len(decode_audio(data, 0.25, 0.75)) == 12_000
    assert decode_audio(data, 0.5).abs().max() == 0
    assert len(decode_audio(data, 0.75, 99.0)) == 6_000


def _nan_file() -> bytes:
    samples = tone(0.1)
    samples[7] = np.nan
    return wav_bytes(samples, subtype="FLOAT")


def _no_rate() -> bytes:
    data = bytearray(wav_bytes(tone(0.1)))
    data[24:28] = struct.pack("<I", 0)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty_audio"),
        (b"this is a text file, whatever its name says\n" * 20, "unreadable_audio"),
        (wav_bytes(np.zeros(0, np.float32)), "empty_audio"),
        (_nan_file(), "non_finite_audio"),
        (_no_rate(), "unreadable_audio"),
        (wav_bytes(tone(0.1))[:30], "unreadable_audio"),
    ],
)
def test_bad_files_are_told_apart(data: bytes, kind: str) -> None:
    with pytest.raises(BadRow) as caught:
        decode_audio(data)
    assert caught.value.kind == kind
    assert " object at " not in caught.value.message  # equal files fail in equal words


@pytest.mark.parametrize(
    "span", [(5.0, None), (0.4, 0.2), (-1.0, 0.2), (0.0, -5.0), (0.0, float("-inf"))]
)
def test_bad_spans(span: tuple[float, float | None]) -> None:
    with pytest.raises(BadRow) as caught:
        decode_audio(wav_bytes(tone(0.5)), *span)
    assert caught.value.kind == "bad_span"


def test_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadRow) as caught:
        decode_audio(wav_bytes(tone(2.0)), max_duration_s=1.0)
    assert caught.value.kind == "too_long"
    assert "start_s" in caught.value.message


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_no_bytes_do_more_than_fail(data: bytes) -> None:
    try:
        decode_audio(data)
    except BadRow:
        return


def test_written_files_hold_every_sample_and_clip() -> None:
    wave = torch.linspace(-2.0, 2.0, 4801)
    for kind in ("flac", "wav"):
        back, rate = soundfile.read(io.BytesIO(encode_audio(wave, kind)), dtype="float32")
        assert (rate, len(back)) == (24_000, 4801)
        assert np.abs(back - wave.clamp(-1, 1).numpy()).max() < 1e-4


@pytest.mark.parametrize("wave", [torch.zeros(0), torch.tensor([0.0, float("nan")])])
def test_nothing_worth_writing(wave: torch.Tensor) -> None:
    with pytest.raises(BadRow, match="empty or not finite"):
        encode_audio(wave)


def test_an_hour_from_a_few_kilobytes_is_held_once() -> None:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 24_000, 1, format="FLAC") as file:
        for _ in range(40):
            file.write(np.zeros(2_400_000, np.int16))
    assert buffer.getbuffer().nbytes < 400_000
    with pytest.raises(BadRow, match=r"4000\.0 s of audio"):
        decode_audio(buffer.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(decode_audio(buffer.getvalue(), 10.0, 1610.0)) == 1600 * 24_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # one copy: 150 MB


def test_a_cut_mp3_is_told_from_a_whole_one(make_audio: Callable[..., Path]) -> None:
    data = make_audio("a.mp3", 2.0).read_bytes()
    assert len(decode_audio(data)) == 48_000
    with pytest.raises(BadRow, match="can be read; the file is cut"):
        decode_audio(data[: len(data) // 2])


def test_a_flac_of_no_stated_length(make_audio: Callable[..., Path]) -> None:
    whole = make_audio("a.flac").read_bytes()
    data = bytearray(whole)
    data[21] &= 0xF0  # total samples: the last 36 bits before the checksum
    data[22:26] = bytes(4)
    assert torch.equal(decode_audio(bytes(data)), decode_audio(whole))


@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
def test_samples_beyond_all_measure(value: float) -> None:
    wave = tone(0.1, 48_000)
    wave[1000:2000] = value  # the filter overshoots at its edges
    with pytest.raises(BadRow) as caught:
        decode_audio(wav_bytes(np.stack([wave, wave], axis=1), 48_000, "FLOAT"))
    assert caught.value.kind == "non_finite_audio"


def test_one_channel_instead_of_the_average() -> None:
    samples = np.stack([tone(0.1), np.zeros(2400, np.float32)], axis=1)
    data = wav_bytes(samples)
    assert decode_audio(data, channel=0).abs().max() > 0.2
    assert decode_audio(data, channel=1).abs().max() == 0
    for channel in (2, -1):
        with pytest.raises(BadRow) as caught:
            decode_audio(data, channel=channel)
        assert caught.value.kind == "bad_span"
