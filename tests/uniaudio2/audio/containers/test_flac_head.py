"""The beginning of a FLAC file."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from tests.uniaudio2.audio.fixtures import data_of
from uniaudio2.audio.containers.flac_head import flac_shape


def test_what_writers_state() -> None:
    assert flac_shape(data_of("flac.flac")[:42]) == (1, 22_050)
    assert flac_shape(data_of("ffmpeg_24bit.flac")[:42]) == (2, 22_050)
    assert flac_shape(data_of("flac_pipe.flac")[:42]) == (1, 0)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((5, 8)), 8000, format="FLAC")
    assert flac_shape(buffer.getvalue()[:42]) == (8, 5)
    assert flac_shape(b"fLaC") == (1, 0)
