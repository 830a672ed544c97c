"""Silero VAD from its ONNX file: what its own package finds, without what importing that does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.uniaudio2.scores.clips import COUNT, clip, speech, speech_16k
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.models.onnx_model import Array
from uniaudio2.scores.models.vad import WINDOW, segments_of, voice_activity

_THREADS = """
import torch
torch.set_num_threads(2)
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.models.onnx_model import Array
import sys
from collections.abc import Iterator
assert not Heard(torch.zeros(24000)).speech.is_spoken
assert "silero_vad" not in sys.modules
print(torch.get_num_threads())
"""


def test_segments_and_probabilities_are_those_of_its_own_package() -> None:
    threads = torch.get_num_threads()
    import silero_vad  # type: ignore[import-untyped]

    torch.set_num_threads(threads)  # importing it sets one
    model, found = silero_vad.load_silero_vad(onnx=True), 0
    for number in range(COUNT):
        wave = torch.from_numpy(clip(number))
        own = voice_activity().hear(clip(number))
        theirs = silero_vad.get_speech_timestamps(wave, model)
        assert own.segments == [(one["start"], one["end"]) for one in theirs], number
        found += len(theirs)
        model.reset_states()
        padded = torch.nn.functional.pad(wave, (0, -len(wave) % WINDOW))
        values = [float(model(window, 16_000)) for window in padded.split(WINDOW)]
        assert own.probabilities == pytest.approx(values, abs=1e-3), number
    assert found > COUNT


def test_torch_keeps_its_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["2"], done.stderr


def test_a_row_is_heard_with_a_fresh_state() -> None:
    alone = voice_activity().hear(speech_16k(1))
    for other in (0, 2, 3):
        voice_activity().hear(speech_16k(other))
    again = voice_activity().hear(speech_16k(1))
    assert np.array_equal(alone.probabilities, again.probabilities)


def test_what_lies_above_8_khz_is_no_speech() -> None:
    wave = speech(0).repeat(2)
    carrier = torch.cos(2 * torch.pi * 11_000 / 24_000 * torch.arange(len(wave)))
    spectrum = torch.fft.rfft(wave * carrier)
    spectrum[: len(spectrum) * 8_500 // 12_000] = 0
    high = torch.fft.irfft(spectrum, len(wave))
    assert Heard(wave).speech.is_spoken
    assert not Heard(high * wave.abs().max() / high.abs().max()).speech.is_spoken


@pytest.mark.parametrize("samples", [0, 1, 160, 320, 512, 513, 4096])
def test_next_to_nothing_holds_no_speech(samples: int) -> None:
    heard = voice_activity().hear(speech_16k(0)[4000 : 4000 + samples])
    assert not heard.is_spoken
    assert len(heard.probabilities) == -(-samples // WINDOW)


def test_segments_begin_and_end_by_the_rule() -> None:
    values = [0.0] * 10 + [0.9] * 20 + [0.4] * 10 + [0.1] * 10 + [0.9] * 2 + [0.1] * 10
    assert segments_of(values, len(values) * WINDOW) == [(10 * WINDOW - 480, 40 * WINDOW + 480)]
    assert segments_of([0.9] * 20, 20 * WINDOW - 100) == [(0, 20 * WINDOW - 100)]


def test_whether_anybody_speaks_is_told_as_of_the_whole() -> None:
    told = []
    for number in range(COUNT):
        wave = clip(number)
        blocks = [wave[at : at + 3000] for at in range(0, len(wave), 3000)]
        told.append(voice_activity().speaks(blocks))
        assert told[-1] == voice_activity().hear(wave).is_spoken, number
    assert 0 < sum(told) < COUNT
    for samples in (0, 1, 3000, 40_000):
        assert not voice_activity().speaks([np.zeros(samples, np.float32)])


def test_behind_the_first_speech_nothing_is_asked_for() -> None:
    asked = []

    def blocks() -> Iterator[Array]:
        for number in range(100):
            asked.append(number)
            yield speech_16k(0)

    assert voice_activity().speaks(blocks())
    assert len(asked) < 4
