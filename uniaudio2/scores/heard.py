"""What scorers are given of a row; what several of them need is computed once."""

from __future__ import annotations

from functools import cached_property
from threading import Lock

import numpy as np
import numpy.typing as npt
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE, resample
from uniaudio2.audio.spans import Levels
from uniaudio2.scores.models.vad import VAD_RATE, Speech, voice_activity

Floats = npt.NDArray[np.float64]
_QUIETEST = 1e-12  # mean square; far below a 16-bit recording's own noise
_ACTIVE_DB = 20.0
_LOUD = 95.0


class Heard:
    """A row as scorers take it.

    Args:
        wave: ``[N]`` float32, mono, 24 kHz; None where the row has no sound.
        text: its own text: what is, or should be, said.
        transcript: what a model heard.
        reference: a recording of the voice that should be heard, which rows may share, or why it
            could not be read.
        mean_logprob: of the tokens that were drawn for it.

    Attributes:
        voice: vector of whoever speaks, once a scorer has asked for it.
        lock: held by whoever computes something of a recording that others share.
    """

    def __init__(
        self,
        wave: Tensor | None,
        text: str | None = None,
        transcript: str | None = None,
        reference: Heard | str | None = None,
        mean_logprob: float | None = None,
    ) -> None:
        self.wave, self.text, self.transcript = wave, text, transcript
        self.reference, self.mean_logprob = reference, mean_logprob
        self.voice: npt.NDArray[np.float32] | None = None
        self.lock = Lock()

    @property
    def sound(self) -> Tensor:
        """The wave of a row that has one."""
        assert self.wave is not None  # noqa: S101 - whoever calls has looked at `wave`
        return self.wave

    @property
    def said(self) -> str | None:
        """What was made of words: the transcript where there is one, else the text."""
        return self.text if self.transcript is None else self.transcript

    @property
    def duration_s(self) -> float:
        """Length of its sound in seconds."""
        return len(self.sound) / SAMPLE_RATE

    @cached_property
    def wave_16k(self) -> npt.NDArray[np.float32]:
        """The sound at the rate of speech models, ``[N]``, behind a filter."""
        wave: npt.NDArray[np.float32] = resample(self.sound, SAMPLE_RATE, VAD_RATE).numpy()
        return np.ascontiguousarray(wave, dtype=np.float32)

    @cached_property
    def speech(self) -> Speech:
        """Where somebody speaks; see `voice_activity`."""
        return voice_activity().hear(self.wave_16k)

    @cached_property
    def levels_db(self) -> Floats:
        """Level of every 10 ms in dBFS, ``[F]``; the last frame may be short."""
        levels = Levels(SAMPLE_RATE)
        levels.add(self.sound)
        found: Floats = 10 * np.log10(np.maximum(levels.energies(), _QUIETEST))
        return found

    @cached_property
    def active_level_db(self) -> float:
        """Level of what is loud in it, in dBFS: the mean of all 10 ms that come within 20 dB of
        the loudest ones. A gain moves it by just that gain."""
        if not len(self.levels_db):
            return float(10 * np.log10(_QUIETEST))
        active = self.levels_db[self.levels_db >= np.percentile(self.levels_db, _LOUD) - _ACTIVE_DB]
        return float(10 * np.log10(np.mean(10 ** (active / 10))))
