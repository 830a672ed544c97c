"""Mel spectrograms of frozen encoders, computed on the device that holds the wave.

Filter banks and windows are constants: they are made once per device and are no part of a state
dict.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torchaudio.functional
from torch import Tensor
from torch.nn import functional

WHISPER_RATE = 16_000
WHISPER_HOP = 160
_WHISPER_FFT = 400
_LINEAR_MELS, _LINEAR_HERTZ = 15.0, 200.0 / 3.0  # of Slaney's scale, up to 1 kHz
_WHISPER_DYNAMIC_RANGE = 8.0  # decades below the loudest value of a clip that are kept

MUSIC_HOP = 240
_MUSIC_FFT = 2048

Padded = Literal["reflect", "constant"]

_SMALLEST_POWER = 1e-10
_FRAMES_AT_ONCE = 128  # whose spectra stay in a CPU's cache


def _slaney_hertz(mels: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, Any]:
    """Slaney's scale undone: linear up to 15 mels (1 kHz), a factor of 6.4 for each 27 above."""
    return np.where(
        mels < _LINEAR_MELS,
        mels * _LINEAR_HERTZ,
        _LINEAR_MELS * _LINEAR_HERTZ * np.exp(np.log(6.4) / 27.0 * (mels - _LINEAR_MELS)),
    )


@lru_cache(maxsize=8)
def _whisper_filters(bins: int, device: torch.device) -> Tensor:
    """Slaney-scaled and slaney-normalised filters ``[bins, n_fft / 2 + 1]`` up to Nyquist."""
    linear_hertz = _LINEAR_MELS * _LINEAR_HERTZ
    top = _LINEAR_MELS + np.log(WHISPER_RATE / 2 / linear_hertz) * (27.0 / np.log(6.4))
    edges = _slaney_hertz(np.linspace(0.0, top, bins + 2))  # of triangles, and their peaks
    at = np.linspace(0.0, WHISPER_RATE // 2, _WHISPER_FFT // 2 + 1)
    slopes = edges[None, :] - at[:, None]  # [n_fft / 2 + 1, bins + 2]
    widths = np.diff(edges)
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return torch.as_tensor(filters, dtype=torch.float32, device=device).T


@lru_cache(maxsize=8)
def _music_filters(bins: int, sample_rate: int, device: torch.device) -> Tensor:
    """HTK filters without area normalisation ``[bins, n_fft / 2 + 1]`` up to Nyquist."""
    filters: Tensor = torchaudio.functional.melscale_fbanks(
        _MUSIC_FFT // 2 + 1, 0.0, sample_rate / 2, bins, sample_rate
    )
    return filters.to(device).T


@lru_cache(maxsize=8)
def _window(n_fft: int, device: torch.device) -> Tensor:
    return torch.hann_window(n_fft, device=device)


def _mel_power(
    wave: Tensor, n_fft: int, hop: int, filters: Tensor, pad: Padded = "reflect"
) -> Tensor:
    """Power in mel bands of centred frames, the last frame dropped.

    Args:
        wave: ``[B, N]``.
        n_fft: samples of a frame.
        hop: samples from one frame to the next.
        filters: ``[bins, n_fft / 2 + 1]``.
        pad: what lies before and behind the wave.

    Returns:
        ``[B, bins, N / hop]``.
    """
    padded = functional.pad(wave[:, None], (n_fft // 2, n_fft // 2), mode=pad)[:, 0]
    frames = padded.unfold(-1, n_fft, hop)[:, :-1]  # [B, F, n_fft], a view
    at_once = _FRAMES_AT_ONCE if wave.device.type == "cpu" else max(frames.shape[1], 1)
    bands = []
    for some in torch.split(frames, at_once, dim=1):
        spectrum = torch.fft.rfft(some * _window(n_fft, wave.device))
        power = spectrum.real.square() + spectrum.imag.square()  # no square root, unlike abs()
        bands.append(power @ filters.t())
    return torch.cat(bands, dim=1).transpose(1, 2)


def mel_power_16k(wave: Tensor, bins: int) -> Tensor:
    """Compute a plain mel power spectrogram: 25 ms frames every 10 ms, silence around the wave.

    Args:
        wave: ``[B, N]`` float32 at 16 kHz.
        bins: mel bands of Slaney's scale, up to 8 kHz.

    Returns:
        ``[B, bins, N / 160]`` float32, without a logarithm.
    """
    filters = _whisper_filters(bins, wave.device)
    return _mel_power(wave, _WHISPER_FFT, WHISPER_HOP, filters, "constant")


def whisper_log_mel(wave: Tensor, bins: int) -> Tensor:
    """Compute Whisper's input features.

    Args:
        wave: ``[B, N]`` float32 at 16 kHz, already padded or cut to the encoder's length.
        bins: mel bands.

    Returns:
        ``[B, bins, N / 160]`` float32, floored at 8 decades below the loudest value of each clip,
        then ``(x + 4) / 4`` (published feature extractor).
    """
    power = _mel_power(wave, _WHISPER_FFT, WHISPER_HOP, _whisper_filters(bins, wave.device))
    log_mel = power.clamp(min=_SMALLEST_POWER).log10()
    floor = log_mel.amax(dim=(1, 2), keepdim=True) - _WHISPER_DYNAMIC_RANGE
    return (torch.maximum(log_mel, floor) + 4.0) / 4.0


def music_mel_db(wave: Tensor, bins: int, sample_rate: int) -> Tensor:
    """Compute MusicFM's mel power spectrogram in dB.

    Args:
        wave: ``[B, N]`` float32 at `sample_rate`.
        bins: mel bands.
        sample_rate: samples per second; the top band ends at half of it.

    Returns:
        ``[B, bins, N / 240]`` float32, ``10 log10(max(power, 1e-10))``, no upper range limit.
    """
    power = _mel_power(wave, _MUSIC_FFT, MUSIC_HOP, _music_filters(bins, sample_rate, wave.device))
    return 10.0 * power.clamp(min=_SMALLEST_POWER).log10()
