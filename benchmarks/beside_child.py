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


def _pack(module: nn.Module) -> None:
    """As a loaded model is."""
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
    _pack(encoder)
    clips = _waves(30 * encoder.config.sample_rate - 1, int(words[0]))

    def work() -> dict[str, Any]:
        codes = encoder.encode(clips, 1)
        return {"codes": [[*one.reason.T.tolist(), *one.recon.T.tolist()] for one in codes]}

    return work


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _published(_: Sequence[str]) -> Callable[[], dict[str, Any]]:
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
    _pack(encoder)
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


SUBJECTS: dict[str, Callable[[Sequence[str]], Callable[[], dict[str, Any]]]] = {
    "encode": _encode,
    "published": _published,
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
