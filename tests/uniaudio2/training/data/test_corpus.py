from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.uniaudio2.training.clips import sound_corpus
from uniaudio2.training.data.corpus import draw_text, is_held_out, make_clip, make_corpus
from uniaudio2.training.data.domain import SYMBOLS, WORDS
from uniaudio2.training.data.speech import Manner, say

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng, which the recipe needs, is not installed"
)


def test_a_corpus_gives_back_its_clips(tmp_path: Path) -> None:
    corpus = sound_corpus(tmp_path)
    assert len(corpus) == 6
    for number, clip in enumerate(corpus):
        wave, facts = make_clip("sounds", 3, number)
        assert clip.text == facts["text"]
        assert not clip.is_speech
        assert torch.allclose(clip.wave(), wave, atol=1 / 32767)


def test_a_corpus_is_made_once(tmp_path: Path) -> None:
    sound_corpus(tmp_path)
    (tmp_path / "clips.i16").write_bytes(b"")
    make_corpus(tmp_path, {"sounds": 6}, seed=3, workers=1)
    assert (tmp_path / "clips.i16").stat().st_size == 0


@pytest.mark.parametrize("kind", ["words", "events"])
def test_texts_for_training_and_for_judging_never_meet(kind: str) -> None:
    rng = random.Random(1)
    seen = {draw_text(rng, kind, unseen=False) for _ in range(300)}  # type: ignore[arg-type]
    kept = {draw_text(rng, kind, unseen=True) for _ in range(300)}  # type: ignore[arg-type]
    assert seen & kept <= set(SYMBOLS)
    assert all(is_held_out(text) for text in kept - set(SYMBOLS))


@needs_espeak
def test_speech_is_the_same_every_time_and_obeys_its_manner() -> None:
    first, facts = make_clip("train", 1, 0)
    again, _ = make_clip("train", 1, 0)
    assert torch.equal(first, again)
    assert set(facts["text"].split()) <= set(WORDS)
    slow = say("seven dog", Manner(voice="en-us", speed_wpm=120, pitch=50, gap=10))
    fast = say("seven dog", Manner(voice="en-us", speed_wpm=220, pitch=50, gap=0))
    assert len(slow) > 1.3 * len(fast)
    assert 0.05 < float(slow.abs().max()) <= 1.1


@needs_espeak
def test_unseen_groups_keep_to_their_voices() -> None:
    for number in range(6):
        _, facts = make_clip("unseen_voices", 1, number)
        assert facts["voice"] in ("en-029", "en-gb-x-gbclan")
        _, facts = make_clip("unseen_variants", 1, number)
        assert facts["voice"].rpartition("+")[2] in ("m7", "m8", "f4", "f5")


@needs_espeak
def test_a_voice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RuntimeError, match="espeak-ng cannot say"):
        say("dog", Manner(voice="xx", speed_wpm=150, pitch=50, gap=0))
