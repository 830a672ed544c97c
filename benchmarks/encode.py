"""Codec encoder: many short clips together against one at a time in the published manner.

Published: a clip of 3 s is repeated to two segments of 30 s, which are encoded for this clip alone;
the second one's tokens are dropped; WavLM runs its last three layers, which nothing reads. The
model is narrow; its segments and the numbers of layers in use are the published ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.beside import compared, has_fast_bfloat16, load, precisions, ratio
from benchmarks.machine import flops, gemm_rate, seconds
from uniaudio2.codec.encoder import CodecEncoder
from uniaudio2.codec.segments import periodic_segment
from uniaudio2.config import CodecConfig, MusicConfig
from uniaudio2.runtime.memory_budget import calibrate
from uniaudio2.tokens.codes import Codes

CLIPS, CLIP_S = 64, 3.0
_PUBLISHED_SEGMENTS = 2
_MOST_AT_ONCE = 8
_COUNTED = 2
_ALL_WAVLM_LAYERS = (6, 7, 8, 12)


def bench_codec(wavlm_layers: tuple[int, ...] = (6, 7, 8, 9)) -> CodecEncoder:
    """Three encoders of width 96, random weights."""
    torch.manual_seed(0)
    return CodecEncoder(
        CodecConfig(
            dim=96,
            query_layers=2,
            query_head_dim=32,
            whisper={
                "d_model": 96,
                "encoder_layers": 6,
                "encoder_attention_heads": 3,
                "encoder_ffn_dim": 384,
                "num_mel_bins": 80,
            },
            wavlm={
                "hidden_size": 96,
                "num_hidden_layers": 12,
                "num_attention_heads": 3,
                "intermediate_size": 384,
                "conv_dim": [48] * 7,
            },
            wavlm_layers=wavlm_layers,
            music=MusicConfig(dim=96, conv_dim=24, heads=3, mlp_dim=384),
        )
    )


def published(encoder: CodecEncoder, clips: list[Tensor]) -> None:
    """One clip after the other, two segments each."""
    for clip in clips:
        segments = [
            periodic_segment(clip, index, encoder.config) for index in range(_PUBLISHED_SEGMENTS)
        ]
        encoder.quantize(encoder.features(torch.stack(segments)))


def _agreement(ours: list[Codes], others: list[Codes]) -> float:
    """Share of first-level codes of both streams that are equal."""
    same = [
        (getattr(a, name)[:, 0] == getattr(b, name)[:, 0]).float().mean()
        for a, b in zip(ours, others, strict=True)
        for name in ("reason", "recon")
    ]
    return float(torch.stack(same).mean())


def _equal_shares(ours: list[list[list[int]]], others: list[list[list[int]]]) -> list[float]:
    """Share of equal codes of every codebook, given clips of codebooks of codes."""
    codebooks = zip(zip(*ours, strict=True), zip(*others, strict=True), strict=True)
    return [
        sum(a == b for mine, its in zip(*one, strict=True) for a, b in zip(mine, its, strict=True))
        / sum(map(len, one[0]))
        for one in codebooks
    ]


def _compared(quick: bool, other: Path) -> dict[str, float]:
    """This build and another one, in turns."""
    segments, rounds = (1, 3) if quick else (2, 9)
    ours, theirs = compared("encode", other, rounds, [str(segments)])
    shares = _equal_shares(ours[0]["codes"], theirs[0]["codes"])
    spent_s = statistics.median(one["cpu_s"] for one in ours) / segments
    before_s = statistics.median(one["cpu_s"] for one in theirs) / segments
    faster = ratio(ours, theirs)
    print(f"one thread, processor time, {rounds} rounds in turns, {load()}")
    print(f"a segment of 30 s, narrow: {spent_s:.3f} s, the other build {before_s:.3f} s: "
          f"{faster:.2f}x")  # fmt: skip
    print("equal codes, by codebook: " + " ".join(f"{share:.4f}" for share in shares))
    wide, wide_before = compared("published", other, 1 if quick else 3, ["float32"])
    memory = 1 / ratio(wide, wide_before, "segment_mib")
    peak = 1 / ratio(wide, wide_before, "peak_mib")
    print(f"published widths, few layers: {ratio(wide, wide_before):.2f}x; a segment takes "
          f"{wide[0]['segment_mib']:.0f} MiB, the other build {wide_before[0]['segment_mib']:.0f}: "
          f"{memory:.2f}; peak of the process {peak:.2f}")  # fmt: skip
    rounded = {}
    if has_fast_bfloat16():
        rounded = {"encode.ratio_bf16": precisions("published", 1 if quick else 3)}
        print(f"bfloat16 at these widths: {rounded['encode.ratio_bf16']:.2f}x float32")
    return rounded | {
        "encode.ratio_before": faster,
        "encode.equal_codes": min(shares),
        "encode.ratio_before_wide": ratio(wide, wide_before),
        "encode.segment_memory": memory,
        "encode.peak_memory": peak,
    }


@torch.no_grad()
def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns the ratios by name.

    Args:
        quick: fewer clips, fewer rounds.
        against: another checkout of this project, which does the same beside this one.
    """
    if against:
        return _compared(quick, against[0])
    torch.set_num_threads(1)
    encoder, whole = bench_codec(), bench_codec(_ALL_WAVLM_LAYERS)
    encoder.pack()  # as a loaded model is; the published one multiplies as torch does
    count = 8 if quick else CLIPS
    generator = torch.Generator().manual_seed(0)
    samples = int(CLIP_S * encoder.config.sample_rate)
    clips = list(0.1 * torch.randn(count, samples, generator=generator))
    batch = calibrate(lambda size: encoder.encode(clips[:1] * size, size), _MOST_AT_ONCE)
    rate = gemm_rate()
    ways: dict[str, Callable[[list[Tensor]], object]] = {
        "published": lambda clips: published(whole, clips),
        "periodic": lambda clips: encoder.encode(clips, batch),
        "tight": lambda clips: encoder.encode(clips, batch, "tight"),
    }
    print(f"one thread; {count} clips of {CLIP_S:g} s, {batch} segments at once (calibrated); "
          f"a product of matrices runs at {rate / 1e9:.0f} GFLOP/s")  # fmt: skip
    print(f"{'context':>9}  {'s':>6}  {'x real time':>11}  {'GFLOP':>6}  {'bound s':>7}  against")
    times = {}
    for name, way in ways.items():
        work = flops(lambda way=way: way(clips[:_COUNTED])) * count / _COUNTED
        times[name] = seconds(lambda way=way: way(clips))
        print(f"{name:>9}  {times[name]:>6.2f}  {count * CLIP_S / times[name]:>11.1f}  "
              f"{work / 1e9:>6.0f}  {work / rate:>7.2f}  "
              f"{times['published'] / times[name]:.2f}x")  # fmt: skip
    equal = _agreement(
        encoder.encode(clips[:4], 4), [encoder.encode([clip])[0] for clip in clips[:4]]
    )
    print(f"first-level codes of a batch equal to those of a clip alone: {equal:.3f}")
    return {
        "encode.ratio_equal_tokens": times["published"] / times["periodic"],
        "encode.ratio_tight": times["published"] / times["tight"],
    }
