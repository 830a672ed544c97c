"""Fifty clips of speech, and what the packages themselves say of them, recorded.

``python -m tests.uniaudio2.scores.clips`` records anew, into `package_figures.json`; it needs
librosa beside speechmos, which no test does.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uniaudio2.audio.files import decode_audio
from uniaudio2.audio.resampling import SAMPLE_RATE, resample
from uniaudio2.scores.models.onnx_model import Array

AUDIO = Path(__file__).parents[3] / "pipelines/examples/audio"
FIGURES = Path(__file__).with_name("package_figures.json")
COUNT = 50
RATE = 16_000
# most are one window of DNSMOS, repeated; the last two are five windows, and one as it is
LENGTHS_S = (0.6, 1.2, 1.35, 2.4, 2.6, 4.6, 5.0, 5.4, 3.3, 9.01)
GAINS = (1.0, 0.3, 0.05, 2.0)
NOISES = (0.0, 0.001, 0.02)


@functools.cache
def speech(number: int) -> Tensor:
    """One of the six bundled recordings of speech, ``[N]`` at 24 kHz."""
    (path,) = AUDIO.glob(f"speech-{number % 6 + 1}.*")
    return decode_audio(path.read_bytes())


@functools.cache
def speech_16k(number: int) -> Array:
    """The same at 16 kHz."""
    wave: Array = resample(speech(number), SAMPLE_RATE, RATE).numpy()
    return wave


def clip(number: int) -> Array:
    """One of fifty clips, ``[N]`` float32 at 16 kHz from -1 to 1: lengths, levels and noises."""
    draws = np.random.default_rng(number)
    samples = int(LENGTHS_S[number % len(LENGTHS_S)] * RATE)
    pieces: list[Array] = []
    while sum(map(len, pieces)) < samples:
        pause = np.zeros(int(draws.uniform(0.05, 0.6) * RATE), np.float32)
        pieces += [pause, speech_16k(int(draws.integers(6)))]
    wave = np.concatenate(pieces)[:samples] * GAINS[number % len(GAINS)]
    noise = draws.standard_normal(samples) * NOISES[number % len(NOISES)]
    mixed: Array = np.clip(wave + noise, -1, 1).astype(np.float32)
    return mixed


def recorded() -> list[dict[str, float]]:
    """What speechmos says of the clips."""
    figures: list[dict[str, float]] = json.loads(FIGURES.read_text())["dnsmos"]
    return figures


def main() -> None:
    """Record what the package says of every clip."""
    from importlib.metadata import version

    from speechmos import dnsmos  # type: ignore[import-untyped]

    packages = {name: version(name) for name in ("speechmos", "onnxruntime", "librosa")}
    found = []
    for number in range(COUNT):
        figures = dnsmos.run(clip(number), RATE)
        found.append({name: round(float(value), 6) for name, value in figures.items()})
    lines = ",\n".join(json.dumps(one) for one in found)
    FIGURES.write_text(f'{{"packages": {json.dumps(packages)}, "dnsmos": [\n{lines}\n]}}\n')


def as_wave(samples: Array) -> Tensor:
    """A clip as rows have it: ``[N]`` at 24 kHz."""
    return resample(torch.from_numpy(samples), RATE, SAMPLE_RATE)


if __name__ == "__main__":
    main()
