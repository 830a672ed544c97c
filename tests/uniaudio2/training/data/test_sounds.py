from __future__ import annotations

import random

import pytest
import torch

from uniaudio2.training.data.domain import EVENTS, THEN
from uniaudio2.training.data.sounds import make_sound


def loudest_hz(wave: torch.Tensor) -> float:
    return float(torch.fft.rfft(wave).abs().argmax()) * 24_000 / len(wave)


@pytest.mark.parametrize("event", EVENTS)
def test_events_have_their_length_and_level(event: str) -> None:
    for seed in range(8):
        wave = make_sound(event, random.Random(seed))
        assert 0.8 * 24_000 <= len(wave) <= 1.5 * 24_000
        peak_db = 20 * float(wave.abs().max().log10())
        assert -18.5 < peak_db <= 0.0
        assert bool((wave[[0, -1]].abs() < 1e-3).all())  # faded


@pytest.mark.parametrize(
    ("event", "low_hz", "high_hz"),
    [("a low tone", 150, 300), ("a mid tone", 500, 900), ("a high tone", 1500, 3000)],
)
def test_tones_lie_in_their_band(event: str, low_hz: float, high_hz: float) -> None:
    for seed in range(8):
        assert low_hz - 2 <= loudest_hz(make_sound(event, random.Random(seed))) <= high_hz + 2


@pytest.mark.parametrize(("event", "rises"), [("a rising sweep", True), ("a falling sweep", False)])
def test_sweeps_go_their_way(event: str, rises: bool) -> None:
    for seed in range(8):
        wave = make_sound(event, random.Random(seed))
        quarter = len(wave) // 4
        start, end = loudest_hz(wave[:quarter]), loudest_hz(wave[-quarter:])
        assert (end > 1.5 * start) if rises else (start > 1.5 * end)


def test_events_follow_each_other_without_a_gap() -> None:
    one = make_sound("a low tone", random.Random(4))
    two = make_sound(THEN.join(["a low tone", "white noise"]), random.Random(4))
    assert torch.equal(two[: len(one)], one)
    assert 0.8 * 24_000 <= len(two) - len(one) <= 1.5 * 24_000


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(KeyError):
        make_sound("a dog", random.Random(0))
