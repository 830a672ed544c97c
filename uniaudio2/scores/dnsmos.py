"""How good speech sounds: DNSMOS P.835 and P.808, from the ONNX files of `speechmos`.

Source: the package's own reading of its models' outputs and its mel spectrogram. Where the windows
lie is ours: the package never hears the end of most clips, and of a long one only the beginning.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from uniaudio2.scores.heard import Floats, Heard
from uniaudio2.scores.models.onnx_model import Array, OnnxModel, package_file
from uniaudio2.scores.spec import Absent, Scores

RATE = 16_000
WINDOW = int(9.01 * RATE)  # samples that a model hears at once
LEVEL_DB = -26.0
"""Level in dBFS of what is loud in a clip when it is scored: figures depend on it."""
_HOP = RATE
_MOST_REPEATED = 7  # windows of a clip that is repeated
_MOST_CLOSE = 30  # windows that lie a second apart
_FFT, _MEL_HOP, _MELS = 321, 160, 120
_LEAST_POWER, _RANGE_DB = 1e-10, 80.0
# the package's polynomials, the highest power first
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)


class Dnsmos:
    """Scores at `LEVEL_DB` a row in which somebody speaks."""

    def __init__(self) -> None:
        self._p835 = OnnxModel(package_file("speechmos", "dnsmos_models/sig_bak_ovr.onnx"))
        self._p808 = OnnxModel(package_file("speechmos", "dnsmos_models/model_v8.onnx"))
        self._filters = _mel_filters()

    def __call__(self, heard: Heard) -> Scores:
        """Means over all windows.

        Raises:
            Absent: nobody speaks.
        """
        if not heard.speech.is_spoken:
            raise Absent("nobody speaks, and DNSMOS gives silence and noise a figure too")
        ovrl, sig, bak, p808 = self.of_wave(at_level(heard.wave_16k, heard.active_level_db))
        return {
            "score_dnsmos_ovrl": ovrl,
            "score_dnsmos_sig": sig,
            "score_dnsmos_bak": bak,
            "score_dnsmos_p808": p808,
        }

    def of_wave(self, wave: Array) -> tuple[float, float, float, float]:
        """Overall, signal, background and P.808 as the models hear a wave, whatever its level.

        Args:
            wave: ``[N]`` float32 from -1 to 1, mono, 16 kHz, N > 0.
        """
        wave, starts = windows_of(wave)
        found = []
        for start in starts:  # one by one: in a batch the figures change with the threads
            window = wave[start : start + WINDOW]
            sig, bak, ovrl = self._p835.run({"input_1": window[None]})[0][0].astype(np.float64)
            mel = self._mel(window[:-_MEL_HOP])
            p808 = float(self._p808.run({"input_1": mel[None]})[0][0][0])
            values = [np.polyval(*one) for one in ((_OVRL, ovrl), (_SIG, sig), (_BAK, bak))]
            found.append([*map(float, values), p808])
        ovrl, sig, bak, p808 = np.mean(found, axis=0)
        return float(ovrl), float(sig), float(bak), float(p808)

    def _mel(self, wave: Array) -> Array:
        """Mel spectrogram in steps of 40 dB below its maximum, ``[900, 120]``."""
        spectrum = torch.stft(
            torch.from_numpy(np.ascontiguousarray(wave)), _FFT, _MEL_HOP,
            window=torch.hann_window(_FFT), pad_mode="constant", return_complex=True,
        )  # fmt: skip
        power = (spectrum.abs() ** 2).T @ self._filters  # [T, 120]
        decibels = 10 * torch.log10(power.clamp_min(_LEAST_POWER))
        decibels = decibels - 10 * torch.log10(power.max().clamp_min(_LEAST_POWER))
        decibels = decibels.clamp_min(float(decibels.max()) - _RANGE_DB)
        mel: Array = ((decibels + 40) / 40).numpy()
        return mel


def _mel_filters() -> Tensor:
    """Triangles of unit area on Slaney's mel scale, ``[161, 120]``; of an odd transform, so that
    the last frequency lies below half the rate."""
    frequencies = np.fft.rfftfreq(_FFT, 1 / RATE)
    edges = _hertz(np.linspace(0.0, _mels(RATE / 2), _MELS + 2))
    rising = (frequencies[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequencies[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return torch.from_numpy((triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32))


# Slaney's scale: even in hertz up to 1 kHz, which is mel 15, then even in the logarithm
_KNEE_HZ, _KNEE_MEL, _STEP = 1000.0, 15.0, np.log(6.4) / 27


def _mels(hertz: float) -> float:
    return float(_KNEE_MEL + np.log(hertz / _KNEE_HZ) / _STEP)


def _hertz(mels: Floats) -> Floats:
    above = _KNEE_HZ * np.exp(_STEP * (mels - _KNEE_MEL))
    found: Floats = np.where(mels < _KNEE_MEL, mels * _KNEE_HZ / _KNEE_MEL, above)
    return found


def at_level(wave: Array, level_db: float, wanted_db: float = LEVEL_DB) -> Array:
    """A wave whose level is known, at the wanted one; less where its peak would pass full scale."""
    gain = 10 ** ((wanted_db - level_db) / 20)
    peak = float(np.max(np.abs(wave), initial=0.0))
    return (wave * np.float32(min(gain, 1.0 / peak if peak else gain))).clip(-1.0, 1.0)


def windows_of(wave: Array) -> tuple[Array, list[int]]:
    """Where windows lie, and the wave that they lie in.

    A clip that is shorter than a window is repeated as the package does, doubled until it is long
    enough. In a longer one windows follow one another by a second, and the last one ends where the
    clip ends. From 39 s on they lie further apart, evenly, but never so far that sound between
    them is not heard.

    Args:
        wave: ``[N]``, N > 0.

    Returns:
        the wave, and the first sample of each window in it.
    """
    if len(wave) < WINDOW:
        while len(wave) < WINDOW:
            wave = np.concatenate([wave, wave])
        hops = int(len(wave) // RATE - WINDOW / RATE) + 1
        return wave, [number * _HOP for number in range(min(hops, _MOST_REPEATED))]
    last = len(wave) - WINDOW
    close = -(-last // _HOP) + 1
    if close <= _MOST_CLOSE:
        return wave, [min(number * _HOP, last) for number in range(close)]
    count = max(_MOST_CLOSE, -(-len(wave) // WINDOW))
    return wave, [last * number // (count - 1) for number in range(count)]
