"""Files of one channel beside one file of all channels."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tests.conftest import wav_bytes
from uniaudio2.audio.channel_files import ChannelFile
from uniaudio2.audio.files import whole
from uniaudio2.audio.resampling import resample
from uniaudio2.audio.stream import AudioStream
from uniaudio2.errors import BadRow

RATE = 16_000
LONG_S = 70.0  # more than is resampled at once


def _noise(seconds: float, channels: int, rate: int = RATE) -> np.ndarray:
    """``[N, C]`` float32 that 16 bits hold exactly."""
    shape = round(seconds * rate), channels
    draws = np.random.default_rng(channels).integers(-16_000, 16_000, shape)
    return (draws / 32_768).astype(np.float32)


def _encoded(wave: np.ndarray, kind: str, rate: int = RATE) -> bytes:
    if kind == "wav":
        return wav_bytes(wave, rate)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="FLAC")
    return file.getvalue()


def _files(*contents: bytes) -> list[ChannelFile]:
    return [ChannelFile(io.BytesIO(data), f"ch{n}.wav") for n, data in enumerate(contents)]


def _apart(wave: np.ndarray, kinds: str = "wav") -> list[ChannelFile]:
    kinds_of = kinds.split()
    return _files(*(_encoded(one, kinds_of[n % len(kinds_of)]) for n, one in enumerate(wave.T)))


def _heard(files: list[ChannelFile], *span: float | None) -> tuple[Tensor, dict[str, object]]:
    with AudioStream(files, *span) as stream:  # type: ignore[arg-type]  # start and end
        return whole(stream), dict(stream.marks)


@pytest.mark.parametrize("channels", [2, 3, 8])
@pytest.mark.parametrize("kinds", ["wav", "flac", "wav flac"])
@pytest.mark.parametrize("span", [(), (0.25, 0.75), (0.9,)])
def test_the_samples_are_those_of_one_file(
    channels: int, kinds: str, span: tuple[float, ...]
) -> None:
    wave = _noise(1.0, channels)
    with AudioStream(io.BytesIO(wav_bytes(wave, RATE)), *span) as one:
        wanted = whole(one)
    found, marks = _heard(_apart(wave, kinds), *span)
    assert torch.equal(found, wanted)
    assert marks == {}


def test_long_files_are_those_of_one_file_and_of_another_channel_where_they_cancel() -> None:
    wave = _noise(LONG_S, 2)
    wave[:, 1] = -wave[:, 0]
    with AudioStream(io.BytesIO(wav_bytes(wave, RATE))) as one:
        wanted, said = whole(one), one.marks
    found, marks = _heard(_apart(wave))
    assert torch.equal(found, wanted)
    assert marks == said == {"input_mix": "left_taken"}


def test_six_microphones_are_six_equals() -> None:
    wave = _noise(0.5, 6)
    found, marks = _heard(_apart(wave))
    heard = torch.from_numpy(soundfile.read(io.BytesIO(wav_bytes(wave, RATE)), dtype="float32")[0])
    assert torch.allclose(found, resample(heard.mean(1), RATE), atol=1e-6)
    assert marks == {}


@pytest.mark.parametrize(
    ("span", "short_s", "seconds"),
    [((), 0.6, 1.0), ((0.2, 0.8), 0.4, 0.6), ((0.5, None), 0.5, 0.5)],
)
def test_a_shorter_file_is_silent_at_its_end(
    span: tuple[float, ...], short_s: float, seconds: float
) -> None:
    wave = _noise(1.0, 2)
    silent = wave.copy()
    silent[round(0.4 * RATE) :, 1] = 0.0
    with AudioStream(io.BytesIO(wav_bytes(silent, RATE)), *span) as one:
        wanted = whole(one)
    short = wav_bytes(wave[: round(0.4 * RATE), 1], RATE)
    found, marks = _heard(_files(wav_bytes(wave[:, 0], RATE), short), *span)
    assert torch.equal(found, wanted)
    assert len(found) == round(seconds * 24_000)
    assert marks == {"input_mix": "padded", "input_short_by_s": pytest.approx(short_s)}


def test_a_span_behind_all_files_is_refused_and_one_before_the_shorter_ends_bears_no_mark() -> None:
    long, short = (wav_bytes(_noise(s, 1), RATE) for s in (1.0, 0.4))
    assert _heard(_files(long, short), 0.1, 0.3)[1] == {}
    with pytest.raises(BadRow, match="a file of 1"):
        _heard(_files(long, short), 2.0)


def test_files_of_other_rates_meet_at_24_khz() -> None:
    one, two = _noise(1.0, 1, 16_000)[:, 0], _noise(1.0, 3, 44_100)[:, 1]
    files = [_encoded(one, "wav", 16_000), _encoded(two, "wav", 44_100)]
    alone = [_heard(_files(data))[0] for data in files]
    found, marks = _heard(_files(*files))
    assert torch.equal(found, alone[0] * 0.5 + alone[1] * 0.5)
    assert marks == {}
    span, _ = _heard(_files(*files), 0.25, 0.5)
    assert torch.equal(span, found[6000:12_000])


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "unreadable_audio", ""),
        (b"no sound at all", "unreadable_audio", ""),
        (wav_bytes(np.zeros((0, 1), np.float32)), "empty_audio", "holds no samples"),
        (wav_bytes(np.zeros((9, 2), np.float32)), "bad_span", "has 2 channels"),
    ],
)
def test_a_file_that_does_not_serve_is_named(data: bytes, kind: str, words: str) -> None:
    with pytest.raises(BadRow) as told:
        _heard(_files(wav_bytes(_noise(0.1, 1), RATE), data))
    assert told.value.kind == kind
    assert told.value.message.startswith("file 2 of 2, 'ch1.wav': ")
    assert words in told.value.message
