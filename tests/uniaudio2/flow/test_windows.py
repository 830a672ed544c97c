from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.flow.windows import CrossFade, WindowPlan

plans = st.builds(
    WindowPlan,
    codes=st.integers(4, 60),
    stride=st.integers(1, 12),
    compat=st.booleans(),
)
corrected = st.builds(WindowPlan, codes=st.integers(4, 60), stride=st.integers(1, 12))
lengths = st.integers(1, 400)


def joined(plan: WindowPlan, length: int, windows: list[torch.Tensor]) -> torch.Tensor:
    fade = CrossFade(plan, length)
    for window in windows:
        fade.add(window)
    return fade.wave


def test_the_published_window_of_20_seconds() -> None:
    plan = WindowPlan(codes=250, stride=960, compat=True)
    assert (plan.hop_codes, plan.overlap_codes, plan.incontext_frames) == (186, 64, 32)
    assert (plan.frames, plan.samples) == (500, 480_000)
    assert (plan.hop_samples, plan.fade_samples) == (360_000, 120_000)


def test_the_corrected_window_of_20_seconds() -> None:
    plan = WindowPlan(codes=250, stride=960)
    assert (plan.hop_codes, plan.overlap_codes, plan.incontext_frames) == (186, 64, 128)
    assert (plan.hop_samples, plan.fade_samples) == (186 * 1920, 64 * 1920)


@given(plans, lengths)
def test_windows_cover_every_code_in_order(plan: WindowPlan, length: int) -> None:
    windows = [plan.indices(number, length) for number in range(plan.count(length))]
    assert all(len(window) == plan.codes for window in windows)
    assert set(torch.cat(windows).tolist()) == set(range(length))
    for number, window in enumerate(windows):
        begin = number * plan.hop_codes
        assert window.tolist() == [i % length for i in range(begin, begin + plan.codes)]


fitted = st.builds(
    WindowPlan, codes=st.integers(4, 60), stride=st.integers(1, 12), spare=st.integers(0, 9)
)


@given(fitted, lengths)
def test_a_fitted_window_holds_what_is_kept_and_the_spare(plan: WindowPlan, length: int) -> None:
    whole = WindowPlan(plan.codes, plan.stride)
    count = plan.count(length)
    for number in range(count):
        size, left = plan.size(number, length), length - number * plan.hop_codes
        assert min(left + (plan.spare or 0), plan.codes) <= size <= plan.codes
        assert torch.equal(plan.indices(number, length), whole.indices(number, length)[:size])
        assert number == count - 1 or size == plan.codes
    assert count == whole.count(length)


def test_fitted_windows_have_few_sizes() -> None:
    plan = WindowPlan(codes=250, stride=960, spare=3)
    assert sorted({plan.size(0, length) for length in range(1, 251)}) == list(range(25, 251, 25))


def test_the_published_arithmetic_has_whole_windows() -> None:
    with pytest.raises(ValueError, match="set windows to whole"):
        WindowPlan(codes=250, stride=960, compat=True, spare=0)


@given(plans, lengths)
def test_there_is_no_window_too_many(plan: WindowPlan, length: int) -> None:
    needed_before_last = (plan.count(length) - 2) * plan.hop_codes + plan.codes
    assert plan.count(length) == 1 or needed_before_last < length


@given(plans, lengths)
def test_what_is_handed_over_is_the_overlap(plan: WindowPlan, length: int) -> None:
    if not plan.compat:
        assert plan.incontext_frames == plan.frames - 2 * plan.hop_codes
        assert plan.fade_samples == plan.incontext_frames * plan.stride


@given(plans, lengths)
def test_the_length_is_that_of_the_codes(plan: WindowPlan, length: int) -> None:
    exact = Fraction(length * 2 * plan.stride)
    missing = exact - plan.output_samples(length)
    assert missing == 0 or (plan.compat and missing == 1)


@pytest.mark.parametrize("length", [29, 57, 58])
def test_the_published_formula_loses_a_sample(length: int) -> None:
    assert WindowPlan(250, 960, compat=True).output_samples(length) == 1920 * length - 1
    assert WindowPlan(250, 960).output_samples(length) == 1920 * length


@given(plans, lengths)
def test_weights_sum_to_one_at_every_sample(plan: WindowPlan, length: int) -> None:
    windows = [torch.ones(plan.samples)] * plan.count(length)
    wave = joined(plan, length, windows)
    assert wave.shape == (plan.output_samples(length),)
    torch.testing.assert_close(wave, torch.ones_like(wave), atol=1e-6, rtol=0)


@given(corrected, lengths)
def test_every_sample_lands_where_its_code_belongs(plan: WindowPlan, length: int) -> None:
    begins = [number * plan.hop_codes * 2 * plan.stride for number in range(plan.count(length))]
    windows = [torch.arange(begin, begin + plan.samples).float() for begin in begins]
    wave = joined(plan, length, windows)
    torch.testing.assert_close(wave, torch.arange(len(wave)).float(), atol=0.01, rtol=0)


def test_the_published_rule_places_later_windows_too_late() -> None:
    plan = WindowPlan(250, 4, compat=True)
    late = plan.hop_samples - plan.hop_codes * 2 * plan.stride
    assert late == pytest.approx(0.12 * 25 * plan.stride)


def test_the_ramp_reaches_both_ends() -> None:
    plan = WindowPlan(4, 2)
    wave = joined(plan, 7, [torch.zeros(plan.samples), torch.ones(plan.samples)])
    ramp = wave[plan.hop_samples : plan.samples]
    torch.testing.assert_close(ramp, torch.tensor([0, 1 / 3, 2 / 3, 1]))


@given(plans, lengths)
def test_surplus_samples_of_a_window_are_cut(plan: WindowPlan, length: int) -> None:
    fade = CrossFade(plan, length)
    for _ in range(plan.count(length)):
        room = fade.room
        fade.add(torch.cat([torch.ones(room), torch.full((5,), torch.nan)]))
    assert torch.isfinite(fade.wave).all()


def test_a_published_window_may_start_beyond_the_end() -> None:
    plan = WindowPlan(250, 1, compat=True)
    length = 60 * plan.hop_codes + plan.overlap_codes + 1
    fade = CrossFade(plan, length)
    for _ in range(plan.count(length)):
        fade.add(torch.ones(plan.samples))
    assert fade.room == 0
    assert fade.wave.min() == 1


def test_a_window_that_cannot_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="3 codes must have at least 4"):
        WindowPlan(3, 960)
