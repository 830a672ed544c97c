"""Pictures are what they claim to be, whatever the sound."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from matplotlib import image

from pipelines.report.pictures import (
    area_path,
    bars_path,
    png,
    spectrogram_image,
    tokens_image,
    waveform_path,
)

ONLY_NUMBERS = re.compile(r"[MLvhZ0-9. \-]*")


def pixels(address: str) -> np.ndarray:
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(image.imread(io.BytesIO(base64.b64decode(data)), format="png"))


def test_a_png_holds_its_pixels() -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[7] = (255, 0, 51)
    picture = pixels(png(np.array([[0, 7, 0], [7, 0, 0]], np.uint8), palette))
    assert picture.shape[:2] == (2, 3)
    assert picture[0, 1, :3].tolist() == pytest.approx([1.0, 0.0, 0.2])
    assert picture[0, 0, :3].tolist() == [0, 0, 0]


def test_a_high_tone_is_above_a_low_one() -> None:
    def brightest_row(hz: float) -> int:
        wave = torch.sin(2 * torch.pi * hz * torch.arange(24_000) / 24_000)
        return int(pixels(spectrogram_image(wave))[..., :3].sum(axis=(1, 2)).argmax())

    assert brightest_row(6000) < brightest_row(1000) < brightest_row(200)


@pytest.mark.parametrize("samples", [1, 100, 24_000])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_any_sound_can_be_drawn(samples: int, level: float) -> None:
    wave = torch.full((samples,), level)
    assert ONLY_NUMBERS.fullmatch(waveform_path(wave))
    assert pixels(spectrogram_image(wave)).ndim == 3


def test_equal_codes_have_equal_colours_and_others_have_not() -> None:
    codes = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [1, 9, 3, 4, 5, 6, 7, 8]])
    picture = pixels(tokens_image(codes))
    assert picture.shape[:2] == (8, 2)
    same = (picture[:, 0] == picture[:, 1]).all(axis=-1)
    assert same.tolist() == [True, False, *[True] * 6]
    assert pixels(tokens_image(torch.zeros(100_000, 8))).shape[1] < 1000


def test_shapes_are_numbers_alone_and_as_high_as_the_box() -> None:
    assert bars_path([0, 2, 4]).startswith("M100.") or bars_path([0, 2, 4]).startswith("M101.")
    assert "v-60.0" in bars_path([0, 2, 4])
    assert "v-30.0" in bars_path([0, 2, 4])
    assert area_path([0.0, 1.0], 1.0) == "M0 60 L0 60 L300 0 L300 60 Z"
    for shape in (bars_path([]), bars_path([0.0]), area_path([], 1.0), area_path([0.0], 0.0)):
        assert ONLY_NUMBERS.fullmatch(shape)
