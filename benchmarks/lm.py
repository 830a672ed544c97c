"""Measures the language model: steps per second by batch size, against the bytes a step reads.

The model has 161 M parameters in float32: backbone of 6 layers by 512, experts of 3 and 2 layers,
local decoder of 4 layers by 384, 32768 text and 12300 audio ids.
"""

from __future__ import annotations

import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks.beside import compared, load, ratio
from benchmarks.machine import copy_bandwidth, seconds
from uniaudio2.config import LmConfig, SpecialIds, StackConfig
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import GraphCapture
from uniaudio2.tokens.grid import text_positions

PROMPT_POSITIONS = 64
SLOTS = (1, 8, 32, 128)
OCCUPIED_SLOTS, OCCUPIED_REQUESTS = 16, 200


def bench_config() -> LmConfig:
    """The benchmark's sizes."""
    wide = {"dim": 512, "heads": 8, "kv_groups": 2, "mlp_dim": 1536}
    return LmConfig(
        text_vocab=32_768,
        ids=SpecialIds(text_bos=32_000, text_eos=32_001, text_pad=32_002, tags={}),
        backbone=StackConfig(layers=6, **wide),
        understanding_expert=StackConfig(layers=3, **wide),
        generation_expert=StackConfig(layers=2, **wide),
        local_decoder=StackConfig(layers=4, dim=384, heads=6, kv_groups=2, mlp_dim=1024),
    )


def bench_lm(small: bool = False) -> UniAudioLM:
    """The model with random weights; a small one where only lengths matter, not times."""
    torch.manual_seed(0)
    config = bench_config()
    if small:
        narrow = {"dim": 32, "heads": 2, "kv_groups": 1, "mlp_dim": 32, "layers": 1}
        names = ("backbone", "understanding_expert", "generation_expert", "local_decoder")
        config = config.model_copy(update=dict.fromkeys(names, StackConfig(**narrow)))
    lm = UniAudioLM(config).eval()
    torch.nn.init.normal_(lm.audio_head, std=0.02)
    lm.pack()
    return lm


def step_bytes(lm: UniAudioLM) -> int:
    """Count the weight bytes that one audio step reads: the local decoder's stack eight times."""
    stacks = (lm.backbone, lm.understanding_expert, lm.generation_expert)
    once = sum(p.numel() for stack in stacks for p in stack.parameters()) + lm.audio_head.numel()
    local = sum(p.numel() for p in lm.local_decoder.parameters()) + lm.projection.weight.numel()
    return 4 * (once + 8 * local)


def seconds_per_step(
    lm: UniAudioLM,
    slots: int,
    steps: int,
    output: Literal["audio", "text"],
    graph_capture: GraphCapture | None = None,
) -> float:
    """Time one step of full slots, after a few steps to warm up."""
    prompt = text_positions([32_000, *range(PROMPT_POSITIONS - 2), 32_001], lm.config)
    engine = Engine(lm, Sampling(max_frames=steps + 16), slots, graph_capture=graph_capture)
    for seed in range(slots):
        engine.add_request(Request(prompt, seed, output))
    while len(engine.running) < slots:
        engine.step()
    for _ in range(3):
        engine.step()
    return seconds(engine.step, steps)


def occupancy(lm: UniAudioLM) -> float:
    """Measure the share of slots in use while requests waited: lengths are log-normal."""
    dice = random.Random(0)  # noqa: S311 - lengths, no secrets
    engine = Engine(lm, Sampling(max_frames=200), OCCUPIED_SLOTS)
    prompt = text_positions([32_000, 1, 32_001], lm.config)
    for seed in range(OCCUPIED_REQUESTS):
        engine.add_request(Request(prompt, seed, "audio"))
    # an answer of a wanted length is one that may have no more steps
    engine.scheduler.waiting = deque(
        replace(one, max_steps=min(max(round(dice.lognormvariate(3.0, 0.6)), 5), 200))
        for one in engine.scheduler.waiting
    )
    while engine.has_unfinished_requests():
        engine.step()
    return engine.scheduler.occupancy


def _compared(quick: bool, other: Path) -> dict[str, float]:
    """This build and another one, in turns."""
    rounds, steps = (3, 2) if quick else (9, 6)
    figures = {}
    print(f"one thread, processor time, {rounds} rounds in turns, {load()}")
    for slots, output in ((1, "audio"), (32, "audio"), (1, "text"), (32, "text")):
        ours, theirs = compared("lm", other, rounds, [str(slots), str(steps), output])
        faster = ratio(ours, theirs)
        spent_ms = 1e3 * statistics.median(one["cpu_s"] for one in ours) / steps
        print(f"{output}, {slots} slots: {spent_ms:.1f} ms a step, {faster:.2f}x the other build")
        suffix = "" if output == "audio" else "_text"
        figures[f"lm.ratio_before_{slots}{suffix}"] = faster
    return figures


@torch.inference_mode()
def run(quick: bool, against: Sequence[Path] = ()) -> dict[str, float]:
    """Measure and print; returns the ratios by name.

    Args:
        quick: fewer steps, fewer rounds.
        against: another checkout of this project, which does the same beside this one.
    """
    if against:
        return _compared(quick, against[0])
    torch.set_num_threads(1)
    lm = bench_lm()
    steps = 6 if quick else 24
    bandwidth = copy_bandwidth()
    bound_ms = 1e3 * step_bytes(lm) / bandwidth
    print(f"one thread; {step_bytes(lm) / 1e6:.0f} MB of weights a step")
    print(f"a copy moves {bandwidth / 1e9:.1f} GB/s: {bound_ms:.0f} ms if nothing stays in cache")
    print(f"{'slots':>5}  {'ms a step':>9}  {'frames/s':>8}  {'against batch 1':>15}")
    measured = SLOTS[:3] if quick else SLOTS
    times = {slots: seconds_per_step(lm, slots, steps, "audio") for slots in measured}
    for slots, spent_s in times.items():
        ratio = slots * times[1] / spent_s
        print(f"{slots:>5}  {1e3 * spent_s:>9.1f}  {slots / spent_s:>8.1f}  {ratio:>14.2f}x")
    text = seconds_per_step(lm, 1, steps, "text")
    held = occupancy(bench_lm(small=True))
    print(
        f"{OCCUPIED_REQUESTS} requests, {OCCUPIED_SLOTS} slots: {held:.3f} used while others waited"
    )
    print(f"a text step takes {1e3 * text:.1f} ms, {text / times[1]:.2f} of an audio step")
    return {
        "lm.ms_per_frame_batch1": 1e3 * times[1],
        "lm.frames_ratio_8_vs_1": 8 * times[1] / times[8],
        "lm.frames_ratio_32_vs_1": 32 * times[1] / times[32],
        "lm.text_step_ratio": text / times[1],
        "lm.occupancy": held,
    }
