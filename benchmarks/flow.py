"""Flow decoder: many short rows together against one at a time, padded to a window of 20 s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.beside import compared, has_fast_bfloat16, load, precisions, ratio
from benchmarks.machine import flops, gemm_rate, seconds
from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig, VqConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.noise import seeded_noise
from uniaudio2.tokens.codes import Codes

ROWS, ROW_S = 32, 5.0
_STEPS, _GUIDANCE, _BATCH = 4, 1.5, 4


def bench_decoder() -> FlowDecoder:
    """A flow of four layers and width 256 with published windows, random weights."""
    torch.manual_seed(0)
    vq = VqConfig(levels=1, size=1024, dim=16)
    codec = CodecConfig(
        dim=128, query_head_dim=32, pronunciation=vq, structure=vq,
        acoustic=vq.model_copy(update={"levels": 6}),
    )  # fmt: skip
    return FlowDecoder(
        FlowConfig(layers=4, heads=4, head_dim=64),
        codec,
        ScalarConfig(init_channel=8, num_samples=2, upsample_factors=(5, 4, 4, 6),
                     upsample_kernel_sizes=(10, 8, 8, 12), downsample_factors=(6, 4, 4, 5),
                     downsample_kernel_sizes=(12, 8, 8, 10)),
    ).eval()  # fmt: skip


def published(decoder: FlowDecoder, rows: list[Codes]) -> None:
    """One row after the other: its codes repeated to a window, the whole window decoded."""
    codes = decoder.flow_config.window_codes
    frames, channels = 2 * codes, decoder.latent_channels
    noise = seeded_noise(range(len(rows)))
    for number, row in enumerate(rows):
        repeated = row.recon[torch.arange(codes) % len(row.recon)][None]  # [1, W, 8]
        start = noise(number, frames, channels)[None]
        latents = decoder.sample(
            decoder.embed(repeated), start, torch.zeros_like(start), 0, _STEPS, _GUIDANCE
        )
        decoder.scalar.decode(latents.mT)


def _compared(quick: bool, other: Path) -> dict[str, float]:
    """This build and another one, in turns."""
    rounds = 3 if quick else 9
    narrow = ratio(*compared("flow", other, rounds, ["float32"]))
    wide = ratio(*compared("published_flow", other, rounds, ["float32"]))
    print(f"one thread, processor time, {rounds} rounds in turns, {load()}")
    print(f"fitted windows, narrow: {narrow:.2f}x the other build; published width, few layers: "
          f"{wide:.2f}x")  # fmt: skip
    figures = {"flow.ratio_before": narrow, "flow.ratio_before_wide": wide}
    if has_fast_bfloat16():
        figures["flow.ratio_bf16"] = precisions("published_flow", rounds)
        print(f"bfloat16 at the published width: {figures['flow.ratio_bf16']:.2f}x float32")
    return figures


@torch.inference_mode()
def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns the ratios by name.

    Args:
        quick: fewer rows, fewer rounds.
        against: another checkout of this project, which does the same beside this one.
    """
    if against:
        return _compared(quick, against[0])
    torch.set_num_threads(1)
    whole, decoder, count = bench_decoder(), bench_decoder(), 4 if quick else ROWS
    decoder.pack()  # as a loaded model is; the published one multiplies as torch does
    generator = torch.Generator().manual_seed(0)
    length = int(ROW_S * 12.5)
    codes = torch.randint(0, 1024, (count, length, 8), generator=generator)
    rows = [Codes(own[:0], own) for own in codes]
    rate = gemm_rate()

    def decode(windows: str, batch: int) -> list[torch.Tensor]:
        return decoder.decode(
            rows, range(count), _STEPS, _GUIDANCE, windows=windows, windows_per_batch=batch
        )

    ways = {
        "published, one by one": lambda: published(whole, rows),
        "whole windows, batched": lambda: decode("whole", _BATCH),
        "fitted, one by one": lambda: [
            decoder.decode([row], [0], _STEPS, _GUIDANCE, windows="fitted") for row in rows
        ],
        "fitted, batched": lambda: decode("fitted", _BATCH),
    }
    print(f"one thread; {count} rows of {ROW_S:g} s, {_STEPS} steps, guidance {_GUIDANCE}; "
          f"a product of matrices runs at {rate / 1e9:.0f} GFLOP/s")  # fmt: skip
    print(f"{'':>22}  {'s':>6}  {'x real time':>11}  {'GFLOP':>6}  {'bound s':>7}  against")
    times: dict[str, float] = {}
    for name, way in ways.items():
        work, times[name] = flops(way), seconds(way)
        first = next(iter(times.values()))
        print(f"{name:>22}  {times[name]:>6.2f}  {count * ROW_S / times[name]:>11.1f}  "
              f"{work / 1e9:>6.0f}  {work / rate:>7.2f}  {first / times[name]:.2f}x")  # fmt: skip
    return {"flow.ratio_32_vs_1": times["published, one by one"] / times["fitted, batched"]}
