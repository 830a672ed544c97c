from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch

from tests.uniaudio2.codec.small import CONFIG, noise, random_features, small_encoder
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.segments import reason_frames, recon_frames
from uniaudio2.config import CodecConfig, Padding
from uniaudio2.tokens.codes import Codes

SEGMENT = CONFIG.segment_samples


@pytest.fixture(scope="module")
def encoder() -> CodecEncoder:
    return small_encoder()


def assert_equal(got: Codes, want: Codes) -> None:
    assert torch.equal(got.reason, want.reason)
    assert torch.equal(got.recon, want.recon)


@pytest.mark.parametrize("samples", [1, 1920, 30_000, SEGMENT - 240, SEGMENT, 2 * SEGMENT + 7])
def test_token_counts_and_ranges(encoder: CodecEncoder, samples: int) -> None:
    (codes,) = encoder.encode([noise(samples)])
    assert codes.reason.shape == (reason_frames(samples, CONFIG), 8)
    assert codes.recon.shape == (recon_frames(samples, CONFIG), 8)
    assert codes.reason.dtype == codes.recon.dtype == torch.int64
    assert codes.reason.min() >= 0
    assert codes.reason.max() < CONFIG.reasoning.size
    assert codes.recon.min() >= 0
    assert codes.recon.max() < CONFIG.acoustic.size


def test_codes_tell_clips_apart(encoder: CodecEncoder) -> None:
    one, two = encoder.encode([noise(48_000, 1), 3 * noise(48_000, 2)])
    assert not torch.equal(one.recon, two.recon)
    assert not torch.equal(one.reason, two.reason)


@pytest.mark.parametrize("segments_per_batch", [1, 2, 3, 100])
def test_a_clip_does_not_depend_on_its_neighbours(
    encoder: CodecEncoder, segments_per_batch: int
) -> None:
    clips = [noise(5_000, 1), 20 * noise(2 * SEGMENT + 99, 2), noise(SEGMENT, 3), noise(1, 4)]
    alone = [encoder.encode([clip])[0] for clip in clips]
    together = encoder.encode(clips, segments_per_batch)
    for got, want in zip(together, alone, strict=True):
        assert_equal(got, want)
    for got, want in zip(encoder.encode(clips[::-1], segments_per_batch), alone[::-1], strict=True):
        assert_equal(got, want)


def test_a_tight_clip_does_not_depend_on_its_neighbours(encoder: CodecEncoder) -> None:
    clips = [noise(5_000, 1), 20 * noise(2 * SEGMENT + 99, 2), noise(SEGMENT, 3), noise(6_000, 4)]
    alone = [encoder.encode([clip], padding="tight")[0] for clip in clips]
    for clip, codes in zip(clips, alone, strict=True):
        assert len(codes.recon) == recon_frames(len(clip), CONFIG)
        assert len(codes.reason) == reason_frames(len(clip), CONFIG)
    for size in (1, 3):
        for got, want in zip(encoder.encode(clips, size, "tight"), alone, strict=True):
            assert_equal(got, want)


@pytest.mark.parametrize("samples", [5_000, SEGMENT - 240, 2 * SEGMENT + 99])
@pytest.mark.parametrize("padding", get_args(Padding))
def test_a_stream_gives_the_codes_of_the_whole_clip(
    encoder: CodecEncoder, samples: int, padding: Padding
) -> None:
    clip = 20 * noise(samples, 2)
    (want,) = encoder.encode([clip], 6, padding)
    assert_equal(encoder.encode_stream(clip.split(9_000), samples, 2, padding), want)


def test_whole_segments_are_the_same_in_either_context(encoder: CodecEncoder) -> None:
    clip = noise(SEGMENT + 5_000)
    (periodic,), (tight,) = (encoder.encode([clip], 6, padding) for padding in get_args(Padding))
    whole = CONFIG.segment_frames // 2
    assert torch.equal(periodic.recon[:whole], tight.recon[:whole])


def test_a_tight_clip_is_not_repeated_to_a_segment(
    encoder: CodecEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    plain = encoder.features.whisper_states
    monkeypatch.setattr(
        encoder.features, "whisper_states", lambda mel: seen.append(mel.shape) or plain(mel)
    )
    encoder.encode([noise(9_000, seed) for seed in range(12)], 2, "tight")
    assert seen == [(9, 20, 40), (3, 20, 40)]  # nine of 0.4 s where two of 2 s would go


def test_later_segments_continue_the_clip(encoder: CodecEncoder) -> None:
    clip = noise(2 * SEGMENT + 5_000)
    (whole,) = encoder.encode([clip])
    (rest,) = encoder.encode([clip.roll(-SEGMENT)])
    per_segment = CONFIG.segment_frames // 2
    assert torch.equal(whole.recon[per_segment:], rest.recon[: len(whole.recon) - per_segment])
    per_segment = CONFIG.segment_frames // 5
    assert torch.equal(whole.reason[per_segment:], rest.reason[: len(whole.reason) - per_segment])


def test_only_needed_segments_are_computed(
    encoder: CodecEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        encoder,
        "_encode_waves",
        lambda waves, tight: seen.append(len(waves)) or [Codes.empty() for _ in waves],
    )
    encoder.encode([noise(100), noise(SEGMENT), noise(100)], segments_per_batch=3)
    assert seen == [3, 1]


def test_no_clips_no_codes(encoder: CodecEncoder) -> None:
    assert encoder.encode([]) == []


@pytest.mark.parametrize("clip", [torch.zeros(0), torch.zeros(2, 100)])
def test_what_cannot_be_encoded_is_refused(encoder: CodecEncoder, clip: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="clip of"):
        encoder.encode([noise(10), clip])
    with pytest.raises(ValueError, match="clip of"):
        encoder.encode_padded(clip)


@pytest.mark.parametrize(("samples", "recon", "reason"), [(9_600, 5, 2), (9_601, 6, 3), (10, 1, 1)])
def test_one_padded_pass(encoder: CodecEncoder, samples: int, recon: int, reason: int) -> None:
    codes = encoder.encode_padded(noise(samples))
    assert codes.recon.shape == (recon, 8)
    assert codes.reason.shape == (reason, 8)


def test_a_padded_pass_takes_one_segment_at_most(encoder: CodecEncoder) -> None:
    with pytest.raises(ValueError, match="cut the clip"):
        encoder.encode_padded(noise(SEGMENT))


@torch.no_grad()
def test_reasoning_modulates_the_reconstruction_codes(encoder: CodecEncoder) -> None:
    features = random_features(50)
    reason, recon = encoder.quantize(features)
    _, quantized = encoder.quantizers.reasoning.encode(
        encoder.thinking(features.whisper, features.semantic)
    )
    reasoning = encoder.quantizers.adapt_reasoning(quantized, 25)
    modulated = encoder.branches.modulate(encoder.branches.fuse(features), reasoning)
    assert torch.equal(recon, encoder.quantizers.encode_recon(*modulated))
    assert reason.shape == (2, 10, 8)
    assert recon.shape == (2, 25, 8)


def test_encoding_draws_no_random_numbers(encoder: CodecEncoder) -> None:
    before = torch.get_rng_state()
    first = encoder.encode([noise(3_000)])[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal(encoder.encode([noise(3_000)])[0], first)


def test_built_for_inference() -> None:
    assert not any(module.training for module in small_encoder().modules())


def test_full_size_builds_on_the_meta_device() -> None:
    with torch.device("meta"):
        encoder = CodecEncoder(CodecConfig())
    tensors = [*encoder.parameters(), *encoder.buffers()]
    assert all(tensor.is_meta for tensor in tensors)
    # Nothing to compute again after memory is given to a module built on the meta device.
    assert len(encoder.state_dict()) == len(tensors)


def test_a_packed_encoder_gives_the_same_codes(encoder: CodecEncoder) -> None:
    clips = [noise(9_000, 1), noise(60_000, 2)]
    want = encoder.encode(clips)
    packed = copy.deepcopy(encoder)
    packed.pack()
    for got, one in zip(packed.encode(clips), want, strict=True):
        assert torch.equal(got.reason, one.reason)
        assert torch.equal(got.recon, one.recon)
