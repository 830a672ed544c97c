"""Pictures of numbers and sound: SVG shapes and small PNGs, self-contained and without text.

Shapes are stretched to the width of the page, so words stay outside of them, in the template.
"""

from __future__ import annotations

import base64
import itertools
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from uniaudio2.audio.resampling import SAMPLE_RATE
from uniaudio2.lazily import torch

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, HEIGHT = 300, 60
_FFT = 512
_WAVE_COLUMNS = 240
_SPECTROGRAM_COLUMNS = 320
_SPECTROGRAM_BANDS = 80
_TOKEN_FRAMES = 400
_RANGE_DB = 70.0
# dark blue, violet, red, orange, pale yellow
_HEAT = ((8, 10, 40), (90, 25, 110), (190, 55, 85), (245, 135, 50), (252, 250, 190))

Bytes = npt.NDArray[np.uint8]


def _points(values: Sequence[float], top: float) -> list[tuple[float, float]]:
    step = WIDTH / max(len(values) - 1, 1)
    return [(round(n * step, 1), round(HEIGHT * (1 - v / top), 1)) for n, v in enumerate(values)]


def area_path(values: Sequence[float], top: float) -> Markup:
    """The path of an area under a curve, in a box of `WIDTH` by `HEIGHT`.

    Args:
        values: heights from left to right.
        top: the value at the upper edge.
    """
    line = " L".join(f"{x:g} {y:g}" for x, y in _points(values, max(top, 1e-9)))
    return Markup("M0 {h} L{line} L{w} {h} Z").format(h=HEIGHT, line=line, w=WIDTH)


def bars_path(counts: Sequence[float]) -> Markup:
    """The path of bars of the given heights, the highest as high as the box."""
    top, step = max([*counts, 1e-9]), WIDTH / max(len(counts), 1)
    gap = min(step * 0.12, 2.0)
    shapes = []
    for number, count in enumerate(counts):
        if count > 0:
            height = max(HEIGHT * count / top, 1.0)
            shapes.append(
                f"M{number * step + gap / 2:.1f} {HEIGHT} v{-height:.1f} h{step - gap:.1f} "
                f"v{height:.1f} Z"
            )
    return Markup(" ".join(shapes))  # noqa: S704 - numbers alone


def waveform_path(wave: Tensor) -> Markup:
    """The path of a wave's envelope.

    Args:
        wave: ``[N]`` float32.
    """
    size = max(-(-len(wave) // _WAVE_COLUMNS), 1)
    padded = torch.nn.functional.pad(wave, (0, -len(wave) % size)).reshape(-1, size)  # [C, size]
    scale = max(float(wave.abs().max()), 1e-4)
    high = (padded.amax(dim=1) / scale).clamp(0, 1).tolist()
    low = (padded.amin(dim=1) / scale).clamp(-1, 0).tolist()
    step, middle = WIDTH / len(high), HEIGHT / 2
    upper = [f"{n * step:.1f} {middle * (1 - value) - 0.3:.1f}" for n, value in enumerate(high)]
    lower = [f"{n * step:.1f} {middle * (1 - value) + 0.3:.1f}" for n, value in enumerate(low)]
    outline = " L".join([*upper, *reversed(lower)])
    return Markup(f"M{outline} Z")  # noqa: S704 - numbers alone


def spectrogram_image(wave: Tensor) -> str:
    """A log spectrogram as the address of a PNG, low frequencies at the bottom.

    Args:
        wave: ``[N]`` float32 at 24 kHz.
    """
    hop = max(len(wave) // _SPECTROGRAM_COLUMNS, 120)
    padded = torch.nn.functional.pad(wave, (0, max(_FFT - len(wave), 0)))
    spectrum = torch.stft(
        padded, _FFT, hop, window=torch.hann_window(_FFT), return_complex=True
    ).abs()  # [257, C]
    # bands on a scale between linear and logarithmic, as hearing is
    top = SAMPLE_RATE / 2
    hz = 700 * ((1 + top / 700) ** np.linspace(0, 1, _SPECTROGRAM_BANDS + 1) - 1)
    edges = np.clip(np.round(hz / top * (_FFT // 2)).astype(int), 0, _FFT // 2)
    bands = [spectrum[a : max(b, a + 1)].amax(dim=0) for a, b in itertools.pairwise(edges)]
    level = 20 * torch.log10(torch.stack(bands).clamp(min=1e-6))  # [R, C]
    shade = ((level - level.max()) / _RANGE_DB + 1).clamp(0, 1) * 255
    return png(shade.flip(0).round().to(torch.uint8).numpy(), _heat_palette())


def tokens_image(codes: Tensor) -> str:
    """A stream of codes as the address of a PNG: time to the right, a line for each codebook.

    Equal codes have equal colours; colours of neighbouring numbers have nothing in common.

    Args:
        codes: ``[T, 8]`` integers; only the first frames of a long stream are drawn.
    """
    spread = (codes[:_TOKEN_FRAMES].T.to(torch.int64) * 157 + 31) % 251  # a prime: all differ
    return png(spread.to(torch.uint8).numpy(), _hue_palette())


def _heat_palette() -> Bytes:
    stops = np.array(_HEAT, dtype=np.float64)
    points = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(points, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)  # [256, 3]


def _hue_palette() -> Bytes:
    turn = np.arange(256) / 256 * 2 * np.pi
    waves = [0.5 + 0.5 * np.cos(turn - shift) for shift in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    light = 0.75 + 0.25 * np.cos(turn * 5)
    return (np.stack(waves, axis=1) * light[:, None] * 215 + 30).astype(np.uint8)  # [256, 3]


def png(pixels: Bytes, palette: Bytes) -> str:
    """A picture with a palette as a ``data:`` address.

    Args:
        pixels: ``[H, W]`` indices of the palette.
        palette: ``[256, 3]`` red, green and blue.
    """
    height, width = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)  # no line filter

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", palette.tobytes()),
            chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            chunk(b"IEND", b""),
        ]
    )
    return data_uri("image/png", data)


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as an address that a page can hold itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
