"""Where somebody speaks: Silero VAD, from the ONNX file of its package.

Source: the package's own reading of its probabilities (threshold 0.5, 0.35 to end, at least 250 ms
of speech and 100 ms of silence, 30 ms added on both sides). Every recording begins with a fresh
state, and what is heard has been resampled behind a filter, which the package leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from uniaudio2.scores.models.onnx_model import Array, OnnxModel, package_file

VAD_RATE = 16_000
WINDOW = 512  # samples that one probability is of
_CONTEXT = 64  # of the window before
_STATE = (1, 1, 128)
_AT_ONCE, _FEW = 512, 64  # windows; the state goes from one call to the next
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


@dataclass
class _Memory:
    """What the model knows of a recording so far."""

    hidden: Array = field(default_factory=lambda: np.zeros(_STATE, np.float32))
    cell: Array = field(default_factory=lambda: np.zeros(_STATE, np.float32))
    context: Array = field(default_factory=lambda: np.zeros(_CONTEXT, np.float32))


@dataclass
class _Reading:
    """Reads speech off probabilities as they come.

    Attributes:
        at: first sample of the window that comes next.
        begin: where speech began that has not ended.
        end: where it may have ended.
    """

    at: int = 0
    begin: int | None = None
    end: int | None = None

    def add(self, value: float) -> tuple[int, int] | None:
        """Take a window's probability; gives the speech that has ended, if it was long enough."""
        at, self.at = self.at, self.at + WINDOW
        if value >= _SPEECH:
            self.begin, self.end = at if self.begin is None else self.begin, None
        elif value < _SILENCE and self.begin is not None:
            self.end = at if self.end is None else self.end
            if at - self.end >= _LEAST_SILENCE:
                return self.close(self.end)
        return None

    @property
    def is_sure(self) -> bool:
        """Whether what is being spoken is long enough already, however it ends."""
        is_spoken = self.begin is not None and self.end is None
        return is_spoken and self.at - (self.begin or 0) > _LEAST_SPEECH

    def close(self, end: int) -> tuple[int, int] | None:
        """End what is being spoken; gives it, if it was long enough."""
        begin, self.begin, self.end = self.begin, None, None
        return None if begin is None or end - begin <= _LEAST_SPEECH else (begin, end)


class VoiceActivity:
    """The loaded model; may be called from many threads."""

    def __init__(self) -> None:
        self._model = OnnxModel(package_file("silero_vad", "data/silero_vad_16k_sequence.onnx"))

    def hear(self, wave: Array) -> Speech:
        """Find speech.

        Args:
            wave: ``[N]`` float32, mono, 16 kHz; nothing at all holds no speech.
        """
        memory, step = _Memory(), _AT_ONCE * WINDOW
        parts = [self._run(wave[at : at + step], memory) for at in range(0, len(wave), step)]
        probabilities = np.concatenate([np.zeros(0, np.float32), *parts])
        return Speech(probabilities, segments_of(probabilities, len(wave)), len(wave))

    def speaks(self, blocks: Iterable[Array]) -> bool:
        """Tell whether anybody speaks, as `hear` tells of the whole.

        Args:
            blocks: of a wave, each ``[N]`` float32 at 16 kHz; behind the first speech none is asked
                for.
        """
        reading, memory = _Reading(), _Memory()
        samples, step, held = 0, _FEW * WINDOW, np.zeros(0, np.float32)
        for block in blocks:
            held = np.concatenate([held, block])
            for _ in range(len(held) // step):
                found = [reading.add(value) for value in self._run(held[:step], memory).tolist()]
                if any(found) or reading.is_sure:
                    return True
                held, samples = held[step:], samples + step
        found = [reading.add(value) for value in self._run(held, memory).tolist()]
        return any(found) or reading.close(samples + len(held)) is not None

    def _run(self, wave: Array, memory: _Memory) -> Array:
        """Probabilities of the next windows; the last of a recording is filled with silence."""
        if not len(wave):
            return np.zeros(0, np.float32)
        windows = -(-len(wave) // WINDOW)
        padded = np.zeros(_CONTEXT + windows * WINDOW, dtype=np.float32)
        padded[:_CONTEXT] = memory.context
        padded[_CONTEXT : _CONTEXT + len(wave)] = wave
        # [W, 576]: each window behind the end of the one before
        rows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + WINDOW)[::WINDOW]
        values, memory.hidden, memory.cell = self._model.run(
            {"input": np.ascontiguousarray(rows), "h": memory.hidden, "c": memory.cell}
        )
        memory.context = padded[-_CONTEXT:]
        return values.reshape(-1)


def segments_of(probabilities: Sequence[float] | Array, samples: int) -> Segments:
    """Read stretches of speech off the probabilities of windows.

    Args:
        probabilities: one a window of 512 samples.
        samples: of the whole recording.
    """
    reading = _Reading()
    found = [*map(reading.add, probabilities), reading.close(samples)]
    return [
        (max(one[0] - _ADDED, 0), min(one[1] + _ADDED, samples)) for one in found if one is not None
    ]


@lru_cache(maxsize=1)
def voice_activity() -> VoiceActivity:
    """The model of this process, loaded when it is first asked for.

    Raises:
        FileNotFoundError: package `silero-vad` is not installed.
        ModuleNotFoundError: package `onnxruntime` is not.
    """
    return VoiceActivity()
