from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uniaudio2.codec.small import CONFIG
from uniaudio2.codec.segments import (
    check_clip,
    padded_clip,
    periodic_segment,
    reason_frames,
    recon_frames,
    segments_needed,
    stream_segments,
    tight_samples,
)
from uniaudio2.config import CodecConfig

FULL = CodecConfig()


@pytest.mark.parametrize(
    ("samples", "recon", "reason", "segments"),
    [
        (7_200, 4, 2, 1),
        (72_000, 38, 16, 1),
        (717_600, 374, 150, 1),
        (720_000, 376, 151, 2),
        (720_240, 376, 151, 2),
        (1_464_000, 763, 306, 3),
        (4_320_000, 2251, 901, 7),
    ],
)
def test_published_table(samples: int, recon: int, reason: int, segments: int) -> None:
    assert recon_frames(samples, FULL) == recon
    assert reason_frames(samples, FULL) == reason
    assert segments_needed(samples, FULL) == segments


@pytest.mark.parametrize("codes", [29, 57, 58, 113, 116, 201, 203])
def test_counts_are_whole_numbers_where_floats_fall_short(codes: int) -> None:
    assert recon_frames(1920 * codes, FULL) == codes + 1
    assert int(1920 * codes / 24_000 * 12.5) + 1 == codes  # the published formula


def test_needed_segments_hold_exactly_the_frames() -> None:
    for samples in range(1, 6 * CONFIG.segment_samples, 997):
        segments = segments_needed(samples, CONFIG)
        for frames, per_segment in (
            (recon_frames(samples, CONFIG), CONFIG.segment_frames // 2),
            (reason_frames(samples, CONFIG), CONFIG.segment_frames // 5),
        ):
            assert (segments - 1) * per_segment < frames <= segments * per_segment


@pytest.mark.parametrize("samples", [1, 999, CONFIG.segment_samples, 3 * CONFIG.segment_samples])
def test_segments_repeat_the_clip_without_end(samples: int) -> None:
    clip = torch.arange(samples)
    for index in range(3):
        wave = periodic_segment(clip, index, CONFIG)
        assert wave.shape == (CONFIG.segment_samples,)
        for sample in (0, 1, 12_345, CONFIG.segment_samples - 1):
            assert wave[sample] == (CONFIG.segment_samples * index + sample) % samples


@pytest.mark.parametrize(("samples", "padded"), [(1, 9600), (9600, 9600), (9601, 19_200)])
def test_padding_is_silence_up_to_whole_codes(samples: int, padded: int) -> None:
    wave = padded_clip(torch.ones(samples), CONFIG)
    assert wave.shape == (padded,)
    assert int(wave.sum()) == samples
    assert wave[:samples].all()


def test_padding_refuses_more_than_a_segment() -> None:
    longest = CONFIG.segment_frames * CONFIG.frame_samples
    assert padded_clip(torch.ones(longest), CONFIG).shape == (longest,)
    with pytest.raises(ValueError, match=rf"{longest + 1} samples.*at most {longest}.*cut"):
        padded_clip(torch.ones(longest + 1), CONFIG)


@pytest.mark.parametrize(
    ("clip", "message"),
    [(torch.zeros(0), "0 samples.*drop"), (torch.zeros(2, 9), r"\(2, 9\).*average")],
)
def test_clips_that_cannot_be_encoded(clip: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_clip(clip)


@given(st.integers(1, 4 * 720_240))
def test_a_tight_segment_holds_its_frames_and_little_more(samples: int) -> None:
    config = CodecConfig()
    last = segments_needed(samples, config) - 1
    frames = tight_samples(samples, last, config) // config.frame_samples
    codes = recon_frames(samples, config) - 375 * last
    seconds = reason_frames(samples, config) - 150 * last
    assert frames % 10 == 0
    assert max(2 * codes, 5 * seconds) <= frames <= 750
    assert frames <= max(10, 1.25 * max(2 * codes, 5 * seconds) + 10)
    for segment in range(last):
        assert tight_samples(samples, segment, config) == config.segment_samples


def test_tight_segments_have_few_lengths() -> None:
    config = CodecConfig()
    lengths = {tight_samples(samples, 0, config) for samples in range(1, 720_000, 500)}
    assert len(lengths) <= 22


@given(
    samples=st.integers(1, 6_000),
    block=st.integers(50, 3_000),
    extra=st.sampled_from([0, 7, 240]),
)
@settings(deadline=None, max_examples=80)
def test_a_stream_has_the_segments_of_the_whole_clip(samples: int, block: int, extra: int) -> None:
    sizes = {"sample_rate": 2_500, "segment_frames": 10, "segment_extra_samples": extra}
    config = CONFIG.model_copy(update=sizes)
    clip = torch.arange(float(samples))
    segments = list(stream_segments(clip.split(block), samples, config))
    assert len(segments) == segments_needed(samples, config)
    for index, segment in enumerate(segments):
        assert torch.equal(segment, periodic_segment(clip, index, config))
    with pytest.raises(RuntimeError, match="where"):
        list(stream_segments(clip.split(block), samples + 1, config))
