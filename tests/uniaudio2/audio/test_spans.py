"""Recordings are cut at their silences; nothing that is loud is left out, no span is too long."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from uniaudio2.audio.spans import Levels, SpanRule, Spans, cut_spans, find_spans

RATE = 24_000
RULE = SpanRule(max_s=4.0, pause_s=0.5)


def recording(pieces: list[tuple[float, float]], noise: float = 0.0, seed: int = 0) -> Tensor:
    """Noise of a level for some seconds each, ``[(seconds, level), ...]``."""
    rng = np.random.default_rng(seed)
    parts = [level * rng.standard_normal(round(s * RATE)) for s, level in pieces]
    wave = np.concatenate(parts)
    wave += noise * rng.standard_normal(len(wave))
    return torch.from_numpy(wave.astype(np.float32))


def spans_of(wave: Tensor, rule: SpanRule = RULE, block: int = 10_000) -> Spans:
    levels = Levels(RATE)
    for part in wave.split(block):
        levels.add(part)
    assert levels.samples == len(wave)
    return find_spans(levels.energies(), len(wave), rule)


def seconds(spans: Spans) -> list[tuple[float, float]]:
    return [(start / RATE, stop / RATE) for start, stop in spans]


SPOKEN = [(0.8, 0.0), (1.5, 0.1), (0.9, 0.0), (2.0, 0.05), (0.6, 0.0), (1.0, 0.2), (1.1, 0.0)]


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 5e-3])
def test_pauses_part_what_is_said(noise: float) -> None:
    found = seconds(spans_of(recording(SPOKEN, noise)))
    wanted = [(0.8, 2.3), (3.2, 5.2), (5.8, 6.8)]
    assert len(found) == 3
    for (start, stop), (first, last) in zip(found, wanted, strict=True):
        assert first - 0.1 <= start <= first
        assert last <= stop <= last + 0.4


def test_short_pauses_do_not_part_while_there_is_room() -> None:
    wave = recording([(1.0, 0.1), (0.3, 0.0), (1.0, 0.1), (0.3, 0.0), (1.9, 0.1)])
    assert len(spans_of(wave)) == 2
    assert len(spans_of(wave, SpanRule(max_s=10.0, pause_s=0.5))) == 1
    assert len(spans_of(wave, SpanRule(max_s=10.0, pause_s=0.25))) == 3


def test_sound_without_a_silence_is_cut_where_it_is_quietest() -> None:
    wave = recording([(3.0, 0.1), (0.15, 0.03), (3.0, 0.1)])
    found = seconds(spans_of(wave))
    assert len(found) == 2
    assert 2.9 < found[0][1] < 3.2
    assert (found[0][0], found[1][1]) == (0.0, pytest.approx(6.15))
    assert found[0][1] == found[1][0]


def test_a_constant_offset_is_no_sound() -> None:
    assert spans_of(torch.full((10 * RATE,), 0.2)) == []
    assert spans_of(torch.zeros(10 * RATE)) == []
    # a click alone is not heard either
    wave = torch.zeros(10 * RATE)
    wave[5 * RATE] = 0.9
    assert spans_of(wave) == []


def test_a_quiet_voice_after_a_loud_one_is_kept() -> None:
    wave = recording([(20.0, 0.3), (100.0, 0.0), (2.0, 0.003), (1.0, 0.0)], noise=1e-5)
    assert any(119 < start < 120.1 for start, _ in seconds(spans_of(wave)))


@given(
    pieces=st.lists(
        st.tuples(st.floats(0.01, 6.0), st.sampled_from([0.0, 0.0, 1e-4, 0.01, 0.3])),
        min_size=1,
        max_size=12,
    ),
    max_s=st.floats(0.6, 8.0),
    block=st.integers(1_000, 100_000),
)
@settings(deadline=None, max_examples=60)
def test_spans_are_apart_within_bounds_and_hold_what_is_loud(
    pieces: list[tuple[float, float]], max_s: float, block: int
) -> None:
    wave, rule = recording(pieces), SpanRule(max_s=max_s, pause_s=0.5)
    found = spans_of(wave, rule, block)
    assert found == spans_of(wave, rule, len(wave))
    edges = [0, *(edge for span in found for edge in span), len(wave)]
    assert edges == sorted(edges)
    assert all(0 < stop - start <= max_s * RATE for start, stop in found)
    at = 0
    for s, level in pieces:
        length = round(s * RATE)
        if level == 0.3 and s > 0.2:
            covered = sum(max(min(b, at + length) - max(a, at), 0) for a, b in found)
            assert covered >= length - 0.02 * RATE
        at += length


@given(
    spans=st.lists(st.integers(0, 5_000), min_size=2, max_size=12, unique=True).map(sorted),
    block=st.integers(1, 6_000),
)
@settings(deadline=None, max_examples=60)
def test_spans_are_cut_out_of_blocks(spans: list[int], block: int) -> None:
    wave = torch.arange(5_000.0)
    pairs = list(zip(spans[::2], spans[1::2], strict=False))
    cut = list(cut_spans(wave.split(block), pairs))
    assert len(cut) == len(pairs)
    for (start, stop), piece in zip(pairs, cut, strict=True):
        assert torch.equal(piece, wave[start:stop])


def test_spans_behind_the_end_are_a_fault() -> None:
    with pytest.raises(RuntimeError, match="1 spans lie behind the end"):
        list(cut_spans([torch.zeros(10)], [(5, 11)]))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 96_000, 37])
def test_frames_follow_the_clock_at_any_rate(rate: int) -> None:
    """A frame is 10 ms whatever the rate, so that its number tells its time."""
    levels = Levels(rate)
    wave = torch.zeros(rate * 5 // 2)
    wave[rate * 2 :] = torch.tensor([0.5, -0.5]).repeat(rate)[: len(wave) - rate * 2]
    for part in wave.split(max(rate // 3, 1)):
        levels.add(part)
    energies = levels.energies()
    if rate > 1000:
        assert len(energies) == 250
        assert (energies[:199] < 1e-6).all() and (energies[200:] > 0.2).all()
