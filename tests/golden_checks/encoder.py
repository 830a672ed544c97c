"""The encoder against the recorded vectors: families encode, rvq, musicfm and e2e."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tests.golden_checks.encoder_models import (
    codec_config,
    load_below,
    mapped_weights,
    music_model,
    trained_part,
    whole_encoder,
)
from tests.golden_checks.vectors import GoldenPair, assert_close, assert_same
from uniaudio2.codec.features import Features, to_16k
from uniaudio2.codec.quantizers import Quantizers
from uniaudio2.codec.segments import (
    padded_clip,
    periodic_segment,
    reason_frames,
    recon_frames,
    segments_needed,
)
from uniaudio2.tokens.codes import Codes

Check = Callable[[GoldenPair], None]

BRANCHES = ("phone", "semantic", "acoustic")
"""Names of the three branches in the files, in the order of `Branches`."""

PUBLISHED_QUANTIZERS = {
    "audio_thinking.reasoning_vq": "reasoning",
    "vq_pronunciation_semantic": "pronunciation",
    "vq_structure_semantic": "structure",
    "vq_acoustic": "acoustic",
}


def recorded_features(pair: GoldenPair) -> Features:
    tensors = pair.tensors
    return Features(
        whisper=tensors["input.whisper_features"],
        wavlm=tensors["input.wavlm_features"],
        acoustic=tensors["input.music_acoustic"],
        semantic=tensors["input.music_semantic"],
    )


@torch.no_grad()
def check_thinking(pair: GoldenPair) -> None:
    thinking, features = trained_part(pair).thinking, recorded_features(pair)
    want = pair.tensors
    merged = thinking.merge(features.whisper, features.semantic)
    assert_close(merged, want["out.merged_25hz"], "merged features")
    sequence = thinking.insert_queries(merged)
    assert_close(sequence, want["out.sequence_with_queries"], "sequence with queries")
    for number, block in enumerate(thinking.blocks):
        sequence = block(sequence)
        assert_close(sequence, want[f"out.block{number}"], f"block {number}")
    queries = thinking(features.whisper, features.semantic)
    assert_close(queries, want["out.query_tokens"], "query tokens")


@torch.no_grad()
def check_reasoning(pair: GoldenPair) -> None:
    quantizers, want = trained_part(pair).quantizers, pair.tensors
    codes, quantized = quantizers.reasoning.encode(want["out.query_tokens"])
    assert_same(codes, want["out.reasoning_codes"], "reasoning codes")
    assert_close(quantized, want["out.reasoning_quantized"], "quantized reasoning")
    adapted = quantizers.reason_adaptor(quantized)
    assert_close(adapted, want["out.reason_adapted"], "adapted reasoning")


@torch.no_grad()
def check_fusion(pair: GoldenPair) -> None:
    fused = trained_part(pair).branches.fuse(recorded_features(pair))
    for name, frames in zip(BRANCHES, fused, strict=True):
        assert_close(frames, pair.tensors[f"out.{name}_pre_film"], f"{name} before FiLM")


def film_mask(pair: GoldenPair, mode: str) -> Tensor:
    """Where the modulation was left out: ``[3, B]`` bool, rows as `BRANCHES`."""
    recorded = pair.tensors["input.film_mixed_mask"]
    fixed = {"film_on": torch.zeros_like(recorded), "film_zeroed": torch.ones_like(recorded)}
    return fixed.get(mode, recorded)


@torch.no_grad()
def check_film(pair: GoldenPair, mode: str) -> None:
    encoder, want = trained_part(pair), pair.tensors
    quantizers = encoder.quantizers
    fused = encoder.branches.fuse(recorded_features(pair))
    reasoning = quantizers.reason_embedding(want["out.reasoning_codes"], fused[0].shape[1])
    modulated = encoder.branches.modulate(fused, reasoning)
    rows = zip(modulated, fused, film_mask(pair, mode), strict=True)
    inputs = [torch.where(left_out[:, None, None], plain, on) for on, plain, left_out in rows]
    searched = (quantizers.pronunciation, quantizers.structure, quantizers.acoustic)
    for name, frames, quantizer in zip(BRANCHES, inputs, searched, strict=True):
        assert_close(frames, want[f"out.{mode}.{name}_post_film"], f"{name} after FiLM")
        _, quantized = quantizer.encode(frames)
        assert_close(quantized, want[f"out.{mode}.{name}_quantized"], f"{name} quantized")
    codes = quantizers.encode_recon(*inputs)
    assert_same(codes, want[f"out.{mode}.codes"], "codes")
    published = pair.weights
    merged = functional.linear(
        quantizers.recon_embedding(codes),
        published["cond_feature_emb.weight"],
        published["cond_feature_emb.bias"],
    )
    assert_close(merged, want[f"out.{mode}.merged_features"], "merged quantized features")


@torch.no_grad()
def check_quantize(pair: GoldenPair) -> None:
    reason, recon = trained_part(pair).quantize(recorded_features(pair))
    assert_same(reason, pair.tensors["out.reasoning_codes"], "reasoning codes")
    assert_same(recon, pair.tensors["out.film_on.codes"], "reconstruction codes")


def recorded_quantizers(pair: GoldenPair) -> list[str]:
    return [name.removesuffix(".input") for name in pair.tensors if name.endswith(".input")]


@torch.no_grad()
def check_rvq(pair: GoldenPair) -> None:
    state = mapped_weights(pair.weights)
    quantizers = Quantizers(codec_config(pair.info))
    recorded = recorded_quantizers(pair)
    assert recorded, "no recorded quantizer"
    for published in recorded:
        ours = PUBLISHED_QUANTIZERS[published]
        quantizer = getattr(quantizers, ours)
        load_below(quantizer, state, f"quantizers.{ours}.")
        want = {
            name: pair.tensors[f"{published}.{name}"]
            for name in ("input", "indices", "quantized", "output_from_indices", "codes")
        }
        codes, quantized = quantizer.encode(want["input"])
        assert_same(codes, want["indices"], f"{ours} indices")
        assert_close(quantized, want["quantized"], f"{ours} quantized")
        assert_close(quantizer.decode(codes), want["output_from_indices"], f"{ours} decoded")
        assert_close(quantizer.lookup(codes), want["codes"], f"{ours} codebook vectors")


@torch.no_grad()
def check_music_mel(pair: GoldenPair) -> None:
    model, _ = music_model(pair)
    mel = model.mel_db(pair.tensors["input.wave"][:, 0])
    assert_close(mel[:, None], pair.tensors["out.mel_db"], "mel in dB")
    assert_close(model.normalise(mel)[:, None], pair.tensors["out.mel_norm"], "normalised mel")


@torch.no_grad()
def check_music_states(pair: GoldenPair) -> None:
    model, published = music_model(pair)
    want = pair.tensors
    front = model.front_end(want["out.mel_norm"][:, 0])
    assert_close(front, want["out.conv"], "front end")
    hidden = model(want["input.wave"][:, 0])
    *earlier, last = hidden
    for number, states in enumerate(earlier):
        assert_close(states, want[f"out.hidden{number}"], f"hidden state {number}")
    norm = [published[f"model.conformer.layer_norm.{name}"] for name in ("weight", "bias")]
    eps = pair.info["config"]["layer_norm_eps"]
    normed = functional.layer_norm(last, last.shape[-1:], *norm, eps)
    assert_close(normed, want[f"out.hidden{len(earlier)}"], "last hidden state, normed")


@torch.no_grad()
def check_padded_features(pair: GoldenPair) -> None:
    encoder, want = whole_encoder(pair), pair.tensors
    wave = padded_clip(want["input.wave"][0], encoder.config)[None]
    wave_16k = to_16k(wave, encoder.config.sample_rate)
    assert_close(wave_16k, want["segment.padded_16k"], "padded wave at 16 kHz")
    recorded = want["segment.whisper_mel"]
    mel = encoder.features.whisper_mel(wave_16k, encoder.config.segment_frames)[
        ..., : recorded.shape[-1]
    ]
    assert_close(mel, recorded, "Whisper mel")
    features = encoder.features(wave)
    assert_close(features.whisper, want["segment.whisper_features"], "Whisper features")
    assert_close(features.wavlm, want["segment.wavlm_features"], "WavLM features")
    assert_close(features.acoustic, want["segment.music_acoustic"], "acoustic features")
    assert_close(features.semantic, want["segment.music_semantic"], "semantic features")


@torch.no_grad()
def check_periodic_features(pair: GoldenPair) -> None:
    encoder, want = whole_encoder(pair), pair.tensors
    wave = periodic_segment(want["input.wave"][0], 0, encoder.config)[None]
    features = encoder.features(wave)
    for ours, name in (
        (features.whisper, "whisper_features"),
        (features.wavlm, "wavlm_features"),
        (features.semantic, "music_semantic"),
        (features.acoustic, "music_acoustic"),
    ):
        recorded = [key for key in want if key.startswith(f"audio2token.{name}_")]
        assert recorded, f"no recorded {name}"
        for key in recorded:
            assert_close(ours[..., : want[key].shape[-1]], want[key], key)


def assert_codes(codes: Codes, pair: GoldenPair, entry: str) -> None:
    assert_same(codes.reason.T[None], pair.tensors[f"{entry}.reason_codes"], "reasoning codes")
    assert_same(codes.recon.T[None], pair.tensors[f"{entry}.rec_codes"], "reconstruction codes")


def check_padded_codes(pair: GoldenPair) -> None:
    clip = pair.tensors["input.wave"][0]
    assert_codes(whole_encoder(pair).encode_padded(clip), pair, "segment")


def check_periodic_codes(pair: GoldenPair) -> None:
    clip = pair.tensors["input.wave"][0]
    assert_codes(whole_encoder(pair).encode([clip])[0], pair, "audio2token")


def check_segmentation(pair: GoldenPair) -> None:
    config = codec_config(pair.info)
    assert pair.info["segmentation"], "no recorded segmentation"
    for row in pair.info["segmentation"].values():
        samples = row["samples"]
        assert reason_frames(samples, config) == row["reason_tokens"]
        assert recon_frames(samples, config) == row["rec_tokens"]
        assert config.segment_samples == row["segment_samples"]
        last_segment, _ = row["last_rec_token"]
        needed = segments_needed(samples, config)
        assert needed == last_segment + 1
        ramp = torch.arange(samples)
        cut = [periodic_segment(ramp, index, config) for index in range(needed)]
        assert [int(wave[0]) for wave in cut] == row["segment_first_source_sample"][:needed]
        assert [int(wave[-1]) for wave in cut] == row["segment_last_source_sample"][:needed]


CHECKS: dict[str, dict[str, Check]] = {
    "encode": {
        "thinking": check_thinking,
        "reasoning": check_reasoning,
        "fusion": check_fusion,
        "film_on": lambda pair: check_film(pair, "film_on"),
        "film_zeroed": lambda pair: check_film(pair, "film_zeroed"),
        "film_mixed": lambda pair: check_film(pair, "film_mixed"),
        "quantize": check_quantize,
    },
    "rvq": {"quantizers": check_rvq},
    "musicfm": {"mel": check_music_mel, "hidden_states": check_music_states},
    "e2e": {
        "padded_features": check_padded_features,
        "periodic_features": check_periodic_features,
        "padded_codes": check_padded_codes,
        "periodic_codes": check_periodic_codes,
        "segmentation": check_segmentation,
    },
}
