"""Where somebody speaks: Silero VAD, from the ONNX file of its package.

Source: the package's own reading of its probabilities (threshold 0.5, 0.35 to end, at least 250 ms
of speech and 100 ms of silence, 30 ms added on both sides). Every recording begins with a fresh
state, and what is heard has been resampled behind a filter, which the package leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from uniaudio2.scores.onnx_model import Array, OnnxModel, package_file

VAD_RATE = 16_000
WINDOW = 512  # samples that one probability is of
_CONTEXT = 64  # of the window before
_STATE = (1, 1, 128)
_AT_ONCE = 512  # windows; the state goes from one call to the next
_SPEECH, _SILENCE = 0.5, 0.35
_LEAST_SPEECH = VAD_RATE * 250 // 1000
_LEAST_SILENCE = VAD_RATE * 100 // 1000
_ADDED = VAD_RATE * 30 // 1000

Segments = list[tuple[int, int]]


@dataclass(frozen=True)
class Speech:
    """Speech of one recording.

    Attributes:
        probabilities: that a window of 512 samples holds speech, ``[W]`` float32.
        segments: first sample and the one behind the last of what is spoken, at 16 kHz.
        samples: of the recording, at 16 kHz.
    """

    probabilities: Array
    segments: Segments
    samples: int

    @property
    def speech_s(self) -> float:
        """Seconds in which somebody speaks."""
        return sum(stop - start for start, stop in self.segments) / VAD_RATE

    @property
    def is_spoken(self) -> bool:
        """Whether anybody speaks at all."""
        return bool(self.segments)


class VoiceActivity:
    """The loaded model; may be called from many threads."""

    def __init__(self) -> None:
        self._model = OnnxModel(package_file("silero_vad", "data/silero_vad_16k_sequence.onnx"))

    def hear(self, wave: Array) -> Speech:
        """Find speech.

        Args:
            wave: ``[N]`` float32, mono, 16 kHz; nothing at all holds no speech.
        """
        probabilities = self._probabilities(wave)
        return Speech(probabilities, segments_of(probabilities, len(wave)), len(wave))

    def _probabilities(self, wave: Array) -> Array:
        if not len(wave):
            return np.zeros(0, np.float32)
        windows = -(-len(wave) // WINDOW)
        padded = np.zeros(_CONTEXT + windows * WINDOW, dtype=np.float32)
        padded[_CONTEXT : _CONTEXT + len(wave)] = wave
        # [W, 576]: each window behind the end of the one before
        rows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + WINDOW)[::WINDOW]
        hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        found: list[Array] = []
        for first in range(0, windows, _AT_ONCE):
            block = np.ascontiguousarray(rows[first : first + _AT_ONCE])
            values, hidden, cell = self._model.run({"input": block, "h": hidden, "c": cell})
            found.append(values.reshape(-1))
        return np.concatenate(found)


def segments_of(probabilities: Sequence[float] | Array, samples: int) -> Segments:
    """Read stretches of speech off the probabilities of windows.

    Args:
        probabilities: one a window of 512 samples.
        samples: of the whole recording.
    """
    found: Segments = []
    begin: int | None = None
    end: int | None = None
    for number, value in enumerate(probabilities):
        at = number * WINDOW
        if value >= _SPEECH:
            begin, end = at if begin is None else begin, None
        elif value < _SILENCE and begin is not None:
            end = at if end is None else end
            if at - end >= _LEAST_SILENCE:
                found.append((begin, end))
                begin = end = None
    if begin is not None:
        found.append((begin, samples))
    long = [(start, stop) for start, stop in found if stop - start > _LEAST_SPEECH]
    return [(max(start - _ADDED, 0), min(stop + _ADDED, samples)) for start, stop in long]


@lru_cache(maxsize=1)
def voice_activity() -> VoiceActivity:
    """The model of this process, loaded when it is first asked for.

    Raises:
        FileNotFoundError: package `silero-vad` is not installed.
        ModuleNotFoundError: package `onnxruntime` is not.
    """
    return VoiceActivity()
