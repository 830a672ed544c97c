"""Scores of the signal itself: clipping, bandwidth, silence at its ends, speech over noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.audio.spans import FRAME_HZ
from uniaudio2.scores.heard import Floats, Heard
from uniaudio2.scores.models.vad import VAD_RATE, WINDOW
from uniaudio2.scores.spec import Absent, Scores

_FULL_SCALE = 0.99
_FFT = 1024
_BELOW_PEAK_DB = 60.0
_LOUDEST = 0.1  # share of the frames that a spectrum is of
_FRAMES_AT_ONCE = 4096
_SILENT_DBFS = -60.0
_BELOW_LOUD_DB = 40.0
_LEAST_S = 0.1
_SPOKEN, _UNSPOKEN = 0.5, 0.1  # probabilities of windows that count as speech, and as none
_FLOOR_DB, _CEILING_DB = -20.0, 100.0
_QUIETEST = 1e-12


def score_clipping(heard: Heard) -> Scores:
    """Share of samples at 99 % of full scale or above it."""
    if not len(heard.sound):
        raise Absent("there is no sample")
    clipped = int((heard.sound.abs() >= _FULL_SCALE).sum())
    return {"score_clipped_share": clipped / len(heard.sound)}


def score_bandwidth(heard: Heard) -> Scores:
    """Highest frequency at which the spectrum of the loudest tenth lies within 60 dB of its
    maximum."""
    wave = heard.sound
    wave = torch.nn.functional.pad(wave, (0, max(_FFT - len(wave), 0)))
    frames = wave.unfold(0, _FFT, _FFT // 2)  # [F, 1024], a view
    total = torch.cat([_powers(part).sum(dim=1) for part in torch.split(frames, _FRAMES_AT_ONCE)])
    if float(total.max()) <= 0:
        raise Absent("there is no sound in it")
    count = max(int(len(frames) * _LOUDEST), 1)
    loudest = torch.argsort(total, descending=True, stable=True)[:count].sort().values
    spectrum = torch.zeros(_FFT // 2 + 1, dtype=torch.float64)
    for part in torch.split(loudest, _FRAMES_AT_ONCE):
        spectrum += _powers(frames[part]).sum(dim=0)
    there = torch.nonzero(spectrum >= spectrum.max() * 10 ** (-_BELOW_PEAK_DB / 10))
    return {"score_bandwidth_hz": float(there[-1]) * SAMPLE_RATE / _FFT}


def _powers(frames: Tensor) -> Tensor:
    """Power of some frames by frequency, ``[F, 513]`` float64."""
    powers: Tensor = torch.fft.rfft(frames * torch.hann_window(_FFT)).abs().double().square()
    return powers


def score_silence(heard: Heard) -> Scores:
    """Seconds before the first and behind the last sound.

    Sound is what is above -60 dBFS and comes within 40 dB of what is loud in the recording.
    """
    levels = heard.levels_db
    threshold = max(_SILENT_DBFS, heard.active_level_db - _BELOW_LOUD_DB)
    loud = np.flatnonzero(levels > threshold)
    if not len(loud):
        silent = heard.duration_s
        return {"score_leading_silence_s": silent, "score_trailing_silence_s": silent}
    behind = max(heard.duration_s - (int(loud[-1]) + 1) / FRAME_HZ, 0.0)
    return {
        "score_leading_silence_s": int(loud[0]) / FRAME_HZ,
        "score_trailing_silence_s": behind,
    }


def score_speech(heard: Heard) -> Scores:
    """How much of it is speech."""
    speech = heard.speech
    whole_s = speech.samples / VAD_RATE
    if not whole_s:
        raise Absent("there is no sample")
    return {
        "score_speech_s": speech.speech_s,
        "score_speech_share": min(speech.speech_s / whole_s, 1.0),
    }


def score_snr(heard: Heard) -> Scores:
    """Power of speech over that of what is there when nobody speaks."""
    speech = heard.speech
    if not speech.is_spoken:
        raise Absent("nobody speaks")
    windows = len(speech.probabilities)
    energies = _window_energies(heard, windows)
    inside = np.zeros(windows, dtype=bool)
    for start, stop in speech.segments:
        inside[start // WINDOW : -(-stop // WINDOW)] = True
    spoken = energies[inside & (speech.probabilities >= _SPOKEN)]
    noise = energies[~inside & (speech.probabilities < _UNSPOKEN)]
    for part, what in ((spoken, "with speech"), (noise, "without speech")):
        if len(part) * WINDOW / VAD_RATE < _LEAST_S:
            raise Absent(f"less than {_LEAST_S:g} s {what}")
    above = max(float(spoken.mean() - noise.mean()), _QUIETEST)
    snr_db = 10 * np.log10(above / max(float(noise.mean()), _QUIETEST))
    return {"score_snr_db": float(np.clip(snr_db, _FLOOR_DB, _CEILING_DB))}


def _window_energies(heard: Heard, windows: int) -> Floats:
    """Mean square of the windows that speech was looked for in, ``[W]``."""
    padded = np.zeros(windows * WINDOW)
    padded[: len(heard.wave_16k)] = heard.wave_16k
    energies: Floats = (padded.reshape(-1, WINDOW) ** 2).mean(axis=1)
    return energies
