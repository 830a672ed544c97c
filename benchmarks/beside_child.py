"""What `beside` runs in both builds: a round of a subject for every line that it is sent.

Written so that the build at 09fcfca, whose modules had other names, runs it too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

_MIB = 2**20


def _pack(module: nn.Module, precision: str) -> None:
    """As a loaded model is; a build that knows no other precision is asked for float32."""
    if precision != "float32":
        module.set_precision(precision)
    if hasattr(module, "pack"):
        module.pack()
        return
    try:
        from uniaudio2.runtime.packed_linear import pack_linears
    except ImportError:
        from uniaudio2.packed_linear import pack_linears
    pack_linears(module)


def _waves(samples: int, count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(0.1 * torch.randn(count, samples, generator=generator))


def _encode(words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    """Whole segments at the bench's width, one after the other."""
    from benchmarks.encode import bench_codec

    encoder = bench_codec()
    _pack(encoder, "float32")
    clips = _waves(30 * encoder.config.sample_rate - 1, int(words[0]))

    def work() -> dict[str, Any]:
        codes = encoder.encode(clips, 1)
        return {"codes": [[*one.reason.T.tolist(), *one.recon.T.tolist()] for one in codes]}

    return work


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _published(words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    """A segment at published widths, few layers: processor time, and the memory that it takes."""
    from uniaudio2.codec.encoder import CodecEncoder
    from uniaudio2.config import CodecConfig, MusicConfig

    torch.manual_seed(0)
    stock = CodecConfig()
    config = CodecConfig(
        query_layers=1,
        whisper={**stock.whisper, "encoder_layers": 2},
        wavlm={"num_hidden_layers": 2},
        wavlm_layers=(1, 2),
        music=MusicConfig(layers=3, acoustic_layer=1, semantic_layer=2),
    )
    encoder = CodecEncoder(config)
    _pack(encoder, words[0])
    clips = _waves(30 * config.sample_rate - 1, 1)

    def work() -> dict[str, Any]:
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
        before = _resident("VmRSS")
        codes = encoder.encode(clips, 1)
        return {
            "segment_mib": _resident("VmHWM") - before,
            "peak_mib": _resident("VmHWM"),
            "codes": [[*one.reason.T.tolist(), *one.recon.T.tolist()] for one in codes],
        }

    return work


def _codes(frames: int, count: int) -> list[Any]:
    try:
        from uniaudio2.tokens.codes import Codes
    except ImportError:
        from uniaudio2.codes import Codes
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 1024, (count, frames, 8), generator=generator)
    return [Codes(own[:0], own) for own in drawn]


def _flow(words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    """Rows of 5 s in fitted windows, four at once, at the bench's width."""
    from benchmarks.flow import bench_decoder

    decoder = bench_decoder()
    _pack(decoder, words[0])
    rows = _codes(62, 8)

    def work() -> dict[str, Any]:
        waves = decoder.decode(
            rows, range(len(rows)), 4, 1.5, windows="fitted", windows_per_batch=4
        )
        return {"level": [float(wave.square().mean()) for wave in waves]}

    return work


def _published_flow(words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    """Euler steps of a fitted window of 5 s at the published width, few layers."""
    from uniaudio2.config import CodecConfig, FlowConfig, ScalarConfig
    from uniaudio2.flow.decoder import FlowDecoder

    torch.manual_seed(0)
    decoder = FlowDecoder(FlowConfig(layers=4), CodecConfig(), ScalarConfig(init_channel=4)).eval()
    _pack(decoder, words[0])
    codes = torch.cat([row.recon for row in _codes(75, 1)])[None]

    def work() -> dict[str, Any]:
        noise = torch.randn(1, 150, 136, generator=torch.Generator().manual_seed(0))
        latents = decoder.sample(decoder.embed(codes), noise, torch.zeros_like(noise), 0, 2, 1.5)
        return {"level": float(latents.square().mean())}

    return work


def _lm(words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    """Steps of the engine with full slots; the first round fills them."""
    from benchmarks.lm import bench_lm

    try:
        from uniaudio2.lm.engine.engine import Engine
        from uniaudio2.lm.engine.request import Request
        from uniaudio2.lm.sampling.sampling import Sampling
        from uniaudio2.tokens.grid import text_positions
    except ImportError:
        from uniaudio2.frames import text_segment as text_positions
        from uniaudio2.lm.request import Request

        from uniaudio2.lm.engine import Engine
        from uniaudio2.lm.sampling import Sampling
    slots, steps, output = int(words[0]), int(words[1]), words[2]
    lm = bench_lm()
    prompt = text_positions([32_000, *range(62), 32_001], lm.config)
    engine = Engine(lm, Sampling(max_frames=1_500), slots)
    add = engine.add_request if hasattr(engine, "add_request") else engine.submit
    for seed in range(slots):
        add(Request(prompt, seed, output))
    for _ in range(slots):
        engine.step()

    def work() -> dict[str, Any]:
        for _ in range(steps):
            engine.step()
        running = engine.running if hasattr(engine, "running") else engine.live
        return {"slots": len(running)}

    return work


SUBJECTS: dict[str, Callable[[Sequence[str]], Callable[[], dict[str, Any]]]] = {
    "encode": _encode,
    "published": _published,
    "flow": _flow,
    "published_flow": _published_flow,
    "lm": _lm,
}


def main() -> None:
    """Answer every line with a line of JSON: processor seconds and what the subject tells."""
    torch.set_num_threads(1)
    work = SUBJECTS[sys.argv[1]](sys.argv[2:])
    with torch.inference_mode():
        for _ in sys.stdin:
            begun = time.process_time(), time.perf_counter()
            told = work()
            cpu_s, wall_s = time.process_time() - begun[0], time.perf_counter() - begun[1]
            print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, **told}), flush=True)


main()
