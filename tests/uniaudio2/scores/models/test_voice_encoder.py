"""The speaker encoder from the weights of its package: the package's own vectors."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from tests.uniaudio2.scores.clips import COUNT, RATE, clip
from tests.uniaudio2.scores.recorded_voices import recorded, some_of
from uniaudio2.scores.models.voice_encoder import PIECE_FRAMES, pieces_of, voice_encoder
from uniaudio2.scores.table import SCORERS

MISSING = SCORERS["speaker_similarity"].missing
needs_weights = pytest.mark.skipif(
    bool(MISSING), reason="resemblyzer is not installed: pip install --no-deps resemblyzer"
)


@needs_weights
def test_vectors_are_those_of_its_own_package() -> None:
    figures = recorded()
    assert len(figures) == COUNT
    for number in range(COUNT):
        own = voice_encoder().embed(clip(number))
        assert some_of(own) == pytest.approx(figures[number], abs=1e-3), number
        assert np.linalg.norm(own) == pytest.approx(1.0, abs=1e-5)
    assert not {"resemblyzer", "librosa", "webrtcvad"} & sys.modules.keys()


@needs_weights
@pytest.mark.parametrize("samples", [1, 160, RATE, int(1.6 * RATE), 3 * RATE + 7])
def test_vectors_are_finite_whatever_the_length(samples: int) -> None:
    silent = voice_encoder().embed(np.zeros(samples, np.float32))
    spoken = voice_encoder().embed(clip(9)[:samples])
    for vector in (silent, spoken):
        assert vector.shape == (256,)
        assert np.isfinite(vector).all()


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.6, 1.61, 2.0, 3.3, 9.01, 60.0])
def test_pieces_hear_nearly_all_of_a_wave(seconds: float) -> None:
    starts = pieces_of(int(seconds * RATE))
    assert starts[0] == 0
    heard = starts[-1] + PIECE_FRAMES
    assert heard * 160 >= (seconds - 0.75 * 1.6) * RATE
    assert all(0 < after - before <= PIECE_FRAMES for before, after in itertools.pairwise(starts))
