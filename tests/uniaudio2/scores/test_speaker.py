"""How alike two voices are: by what is spoken alone, at a stated level, or told why not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.scores.clips import speech
from tests.uniaudio2.scores.models.test_voice_encoder import needs_weights
from uniaudio2.scores.heard import Heard
from uniaudio2.scores.scoring import Scoring
from uniaudio2.scores.speaker import LEAST_SPEECH_S, speech_at_level
from uniaudio2.scores.spec import Absent
from uniaudio2.scores.table import SCORERS

NAME = "score_speaker_similarity"


def said(number: int, times: int = 2) -> Tensor:
    return speech(number).repeat(times)


def similarity(wave: Tensor, reference: Tensor | str | None) -> float | str:
    other = Heard(reference) if isinstance(reference, Tensor) else reference
    scores = Scoring([SCORERS["speaker_similarity"]]).score(Heard(wave, reference=other))
    return scores.values.get(NAME, scores.reasons.get(NAME, ""))


@needs_weights
def test_a_voice_is_most_like_itself_at_any_level() -> None:
    own, other = similarity(said(0), said(0)), similarity(said(0), said(2))
    assert own == pytest.approx(1.0, abs=1e-6)
    assert isinstance(other, float) and other < 0.9
    assert similarity(said(2) * 0.03, said(0)) == pytest.approx(other, abs=2e-3)
    padded = torch.cat([torch.zeros(48_000), said(2), torch.zeros(24_000)])
    assert similarity(padded, said(0)) == pytest.approx(other, abs=0.05)


@needs_weights
def test_what_has_no_voice_has_no_figure_and_a_reason() -> None:
    noise = 0.1 * torch.randn(96_000, generator=torch.Generator().manual_seed(0))
    for empty in (torch.zeros(0), torch.zeros(96_000), noise):
        assert similarity(empty, said(0)) == "nobody speaks in the sound"
        assert similarity(said(0), empty) == "nobody speaks in the reference"
    assert "a voice is known by 1.6 s" in str(similarity(said(0, 1), said(0)))
    assert similarity(said(0), None) == "the row has no reference recording"
    assert similarity(said(0), "404 of the store") == "404 of the store"


def test_speech_alone_is_left_and_too_little_is_refused() -> None:
    wave = torch.cat([torch.zeros(72_000), said(2, 3), torch.zeros(72_000)])
    spoken = speech_at_level(Heard(wave))
    assert LEAST_SPEECH_S * 16_000 < len(spoken) < 16_000 * len(said(2, 3)) / 24_000 + 16_000
    assert (spoken**2).mean() ** 0.5 == pytest.approx(10 ** (-30 / 20), rel=1e-3)
    with pytest.raises(Absent, match="of speech"):
        speech_at_level(Heard(speech(0)))
