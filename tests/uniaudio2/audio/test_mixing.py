"""Weights, levels and channels that cancel."""

from __future__ import annotations

from math import sqrt

import av
import numpy as np
import pytest

from uniaudio2.audio.mixing import Downmix, Floats, weights_of
from uniaudio2.errors import BadRow

FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")


def noise(channels: int, samples: int = 4000, seed: int = 0) -> Floats:
    values = np.random.default_rng(seed).uniform(-1, 1, (samples, channels))
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("speakers", "relative"),
    [
        (("FC",), [1]),
        (("FL", "FR"), [1, 1]),
        (("FL", "FR", "LFE"), [1, 1, 0]),
        (("FL", "FR", "FC", "BC"), [1, 1, sqrt(2), sqrt(0.5)]),
        (FIVE_ONE, [1, 1, sqrt(2), 0, sqrt(0.5), sqrt(0.5)]),
        # Vorbis and Opus put them in another order
        (("FL", "FC", "FR", "BL", "BR", "LFE"), [1, sqrt(2), 1, sqrt(0.5), sqrt(0.5), 0]),
        (("LFE",), [1]),
        (("FL", "NEW"), [1, 1]),
    ],
)
def test_weights_follow_the_speakers(speakers: tuple[str, ...], relative: list[float]) -> None:
    weights = weights_of(speakers, len(speakers))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, np.array(relative) / sum(relative), rtol=1e-6)


@pytest.mark.parametrize(
    "layout", ["stereo", "2.1", "3.0", "4.0", "quad", "5.0", "5.1", "5.1(side)", "6.1", "7.1"]
)
def test_ffmpeg_mixes_integers_with_these_weights(layout: str) -> None:
    speakers = tuple(channel.name for channel in av.AudioLayout(layout).channels)
    found = []
    for place in range(len(speakers)):
        values = np.zeros((1, 4800 * len(speakers)), np.int32)
        values[0, place :: len(speakers)] = 1 << 28
        frame = av.AudioFrame.from_ndarray(values, format="s32", layout=layout)
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(format="s32", layout="mono", rate=48_000)
        mixed = np.concatenate([piece.to_ndarray()[0] for piece in resampler.resample(frame)])
        found.append(mixed[2000] / (1 << 28))
    np.testing.assert_allclose(weights_of(speakers, len(speakers)), found, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 8, 12])
def test_channels_without_a_place_are_equals(channels: int) -> None:
    np.testing.assert_allclose(weights_of((), channels), 1 / channels, rtol=1e-6)


def test_six_channels_without_places_are_5_1() -> None:
    np.testing.assert_array_equal(weights_of((), 6), weights_of(FIVE_ONE, 6))
    downmix = Downmix()
    downmix.mono(noise(6))
    assert (downmix.mark, downmix.stronger) == ("5.1_assumed", None)
    said = Downmix()
    said.mono(noise(6), FIVE_ONE)
    assert said.mark is None


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_equal_channels_keep_their_level(channels: int) -> None:
    mixed = Downmix().mono(np.ones((10, channels), np.float32))
    np.testing.assert_allclose(mixed, 1, atol=2e-7)


def test_mono_is_not_touched() -> None:
    values = noise(1)
    assert np.shares_memory(Downmix().mono(values), values)


@pytest.mark.parametrize("order", ["C", "F"])
def test_stereo_is_the_mean_bit_for_bit(order: str) -> None:
    values = np.asarray(noise(2), order="F" if order == "F" else "C")
    want = values.mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(Downmix().mono(values), want)


def test_the_lfe_is_not_heard() -> None:
    values = np.zeros((100, 6), np.float32)
    values[:, 3] = 1
    assert not Downmix().mono(values, FIVE_ONE).any()


@pytest.mark.parametrize("block", [1, 333, 4000])
@pytest.mark.parametrize(
    ("left", "right", "stronger", "mark"),
    [
        (1.0, -1.0, 0, "left_taken"),
        (0.5, -0.6, 1, "right_taken"),
        (0.9, -0.7, 0, "left_taken"),
        (1.0, 1.0, None, None),
        (1.0, 0.0, None, None),
        (0.0, 0.0, None, None),
        (1.0, -0.2, None, None),
    ],
)
def test_channels_that_cancel_are_noticed(
    left: float, right: float, stronger: int | None, mark: str | None, block: int
) -> None:
    values = noise(1) * np.array([left, right], np.float32)
    downmix = Downmix()
    for start in range(0, len(values), block):
        downmix.mono(values[start : start + block])
    assert (downmix.stronger, downmix.mark) == (stronger, mark)


def test_voices_of_a_call_do_not_cancel() -> None:
    downmix = Downmix()
    downmix.mono(noise(2))
    assert downmix.stronger is None


def test_words_under_noise_of_their_own_are_not_cancelled() -> None:
    words = noise(1)
    values = np.concatenate([words, -words], axis=1) + 0.4 * noise(2, seed=1)
    downmix = Downmix()
    downmix.mono(values)
    assert downmix.stronger is not None


def test_surrounds_in_opposite_phase_leave_the_centre_alone() -> None:
    values = np.zeros((4000, 6), np.float32)
    values[:, 2:3] = noise(1)
    values[:, 4:5] = noise(1, seed=1)
    values[:, 5] = -values[:, 4]
    downmix = Downmix()
    downmix.mono(values, FIVE_ONE)
    assert downmix.stronger is None


def test_eight_channels_that_cancel() -> None:
    values = noise(1) * np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.2, 0.2, -0.1], np.float32)
    downmix = Downmix()
    downmix.mono(values)
    assert downmix.mark == "channel_5_taken"


def test_where_channels_change_the_mix_stays() -> None:
    downmix = Downmix()
    words = noise(1)
    assert downmix.mono(words * np.array([1, -1], np.float32)).shape == (4000,)
    assert downmix.mono(words).shape == (4000,)
    assert downmix.stronger is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_cancel_nothing(bad: float) -> None:
    downmix = Downmix()
    downmix.mono(np.array([[bad, -bad], [0, 0]], np.float32))
    assert downmix.stronger is None


@pytest.mark.parametrize("channel", [0, 2])
def test_one_channel_is_taken(channel: int) -> None:
    values = noise(3)
    np.testing.assert_array_equal(Downmix(channel).mono(values), values[:, channel])


@pytest.mark.parametrize(("channel", "channels"), [(2, 2), (-1, 2), (1, 1)])
def test_a_channel_that_is_not_there(channel: int, channels: int) -> None:
    with pytest.raises(BadRow, match=f"channel {channel} of a file with {channels}"):
        Downmix(channel).mono(noise(channels))
