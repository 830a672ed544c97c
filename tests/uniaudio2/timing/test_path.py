from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from uniaudio2.timing.path import attention_density, place_words

FRAMES = 200


def peaks(*at_s: float, width_s: float = 0.06) -> np.ndarray:
    """Words that attend to some moments, every 10 ms."""
    moments = (np.arange(FRAMES) + 0.5) / 100
    rows = [np.exp(-0.5 * ((moments - one) / width_s) ** 2) for one in at_s]
    return np.stack([100 * row / row.sum() for row in rows])


def loud(*ranges: tuple[int, int]) -> np.ndarray:
    speech = np.full(FRAMES, 0.01)
    for first, stop in ranges:
        speech[first:stop] = 0.99
    return speech


def test_words_between_pauses_have_the_frames_that_are_loud() -> None:
    speech = loud((20, 60), (90, 120), (121, 180))
    assert place_words(peaks(0.3, 1.0, 1.4), speech) == [(20, 60), (90, 120), (121, 180)]


def test_the_pause_inside_a_word_parts_it_not() -> None:
    """As of the stop in `eight`: it is a pause by its level, and between no two words."""
    (first, second) = place_words(peaks(0.3, 1.5), loud((20, 40), (46, 60), (140, 180)))
    assert (first, second) == ((20, 60), (140, 180))


def test_without_a_pause_the_border_lies_where_attention_changes_over() -> None:
    (first, second) = place_words(peaks(0.6, 1.2), loud((20, 180)))
    assert first[0] == 20
    assert second[1] == 180
    assert first[1] == second[0] == pytest.approx(90, abs=2)


def test_words_keep_their_order_whatever_they_attend_to() -> None:
    places = place_words(peaks(1.5, 0.4, 0.9), loud((20, 180)))
    assert all(start < stop for start, stop in places)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_without_levels_words_follow_one_another() -> None:
    (first, second) = place_words(peaks(0.6, 1.2), None)
    assert (first[0], second[1]) == (0, FRAMES)
    assert first[1] == second[0]


@pytest.mark.parametrize("words", [0, 1, 3, 7])
def test_more_words_than_frames(words: int) -> None:
    places = place_words(np.ones((words, 3)), np.ones(3))
    assert len(places) == words
    assert all(0 <= start <= stop <= 3 for start, stop in places)


def test_density_joins_both_rates_and_gives_each_word_the_same() -> None:
    reason, recon = np.zeros((2, 10)), np.zeros((2, 25))
    reason[0, 1] = 0.3  # 0.2 to 0.4 s
    recon[1, 20] = 0.001  # 1.6 to 1.68 s
    density = attention_density(reason, recon, FRAMES)
    assert density.sum(1) == pytest.approx([100, 100])
    assert (density[0].argmax() + 0.5) / 100 == pytest.approx(0.3, abs=0.01)
    assert (density[1].argmax() + 0.5) / 100 == pytest.approx(1.64, abs=0.01)
