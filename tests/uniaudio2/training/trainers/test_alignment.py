from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.uniaudio2.training.clips import encoded_clips
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.training.recipe import NANO
from uniaudio2.training.trainers.alignment import align, best_path
from uniaudio2.training.trainers.codec import CodecTrainer

MODEL = load_config(model_folder("tiny")).model_copy(update={"scalar": NANO.model.scalar})


def readings(path: tuple[int, ...]) -> list[int]:
    """What CTC reads from classes a frame: repeats merged, blanks dropped."""
    return [label for label, _ in itertools.groupby(path) if label]


@given(symbols=st.lists(st.integers(1, 2), min_size=1, max_size=2), seed=st.integers(0, 2**31 - 1))
def test_the_path_is_the_best_of_all_that_read_the_same(symbols: list[int], seed: int) -> None:
    frames, classes = 5, 3
    generator = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(frames, classes, generator=generator).log_softmax(-1)
    paths = [
        path
        for path in itertools.product(range(classes), repeat=frames)
        if readings(path) == symbols
    ]
    best = max(paths, key=lambda path: float(sum(log_probs[t, c] for t, c in enumerate(path))))
    runs = [(label, list(run)) for label, run in itertools.groupby(range(frames), best.__getitem__)]
    assert best_path(log_probs, symbols) == [run[-1] for label, run in runs if label]


@pytest.mark.parametrize("symbols", [[3], [3, 3], [1, 2, 1]])
def test_symbols_are_found_where_they_are_heard(symbols: list[int]) -> None:
    log_probs = torch.full((4 * len(symbols), 5), -5.0)
    log_probs[:, 0] = -0.1
    for place, symbol in enumerate(symbols):
        log_probs[4 * place + 1 : 4 * place + 3, symbol] = 0.0
    assert best_path(log_probs, symbols) == [4 * place + 2 for place in range(len(symbols))]


def test_every_clip_that_has_the_room_is_aligned() -> None:
    trainer = CodecTrainer(MODEL).eval()
    clips = encoded_clips(10, MODEL.codec.reasoning.size, MODEL.codec.pronunciation.size)
    numbered = [type(c)(n, c.text, c.is_speech, c.codes) for n, c in enumerate(clips)]
    found = align(trainer, numbered)
    words = {clip.number: 2 if clip.is_speech else 1 for clip in numbered}
    room = {clip.number for clip in numbered if len(clip.codes.recon) > 2 * words[clip.number]}
    assert set(found) == room
    for number, ends in found.items():
        assert len(ends) == words[number]
        assert sorted(set(ends)) == ends
        assert 0 <= ends[0] <= ends[-1] < len(numbered[number].codes.recon)
