"""Where a device's time goes: kernels of a step, of segments that are encoded and of windows.

Full sizes with random weights on a GPU; on a CPU the narrow shapes of the other benches, where the
rows are operators.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import make_decoder, make_encoder, make_lm
from benchmarks.lm import PROMPT_POSITIONS
from uniaudio2.config import RECON_RATE_HZ
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import text_positions

_OUT = Path(__file__).parents[1] / "build/gpu"
_ROWS = 12
_SLOTS, _STEPS = 32, 4
_PRODUCTS = ("gemm", "mm", "linear", "conv", "cutlass", "nvjet", "xmma", "attention", "flash")


def _steps(device: str) -> Callable[[], object]:
    """Steps of full slots, launched one by one: a replayed graph has its kernels all the same."""
    lm = make_lm(device)
    prompt = text_positions(
        [lm.config.ids.text_bos, *range(PROMPT_POSITIONS - 2), lm.config.ids.text_eos], lm.config
    )
    engine = Engine(lm, Sampling(max_frames=1_000), _SLOTS)
    for seed in range(_SLOTS):
        engine.add_request(Request(prompt, seed, "audio"))
    while len(engine.running) < _SLOTS:
        engine.step()

    def work() -> None:
        for _ in range(_STEPS):
            engine.step()

    return work


def _segments(device: str) -> Callable[[], object]:
    encoder = make_encoder(device)
    seconds, count, padding = (30, 4, "periodic") if device == "cuda" else (3, 1, "tight")
    clip = 0.1 * torch.randn(seconds * encoder.config.sample_rate - 1)
    return lambda: encoder.encode([clip] * count, count, padding)


def _windows(device: str) -> Callable[[], object]:
    decoder = make_decoder(device)
    codes = torch.zeros(round(5 * RECON_RATE_HZ), 8, dtype=torch.int64)
    count = 8 if device == "cuda" else 1
    row = Codes(codes[:0], codes)
    return lambda: decoder.decode(
        [row] * count, range(count), windows="fitted", windows_per_batch=count
    )


def _profiled(name: str, work: Callable[[], object], device: str) -> dict[str, float]:
    """Print what took most of the time, and keep a trace; returns the share of products."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    work()  # libraries load and choose
    with profile(activities=kinds) as seen:
        work()
        if device == "cuda":
            torch.cuda.synchronize()
    _OUT.mkdir(parents=True, exist_ok=True)
    seen.export_chrome_trace(str(_OUT / f"{name}.trace.json"))
    attribute = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    # operators are told the time of kernels that they launch, which are rows of their own
    wanted = DeviceType.CUDA if device == "cuda" else DeviceType.CPU
    own_rows = [row for row in seen.key_averages() if row.device_type == wanted]
    rows = sorted(own_rows, key=lambda row: -getattr(row, attribute))
    spent = {row.key: getattr(row, attribute) for row in rows}
    whole = sum(spent.values()) or 1.0
    products = sum(
        value for key, value in spent.items() if any(sign in key.lower() for sign in _PRODUCTS)
    )
    print(f"{name}: {whole / 1e3:.1f} ms, products and attention {products / whole:.0%}")
    for row in rows[:_ROWS]:
        own = getattr(row, attribute)
        print(f"  {own / whole:>6.1%} {own / 1e3:>9.2f} ms {row.count:>6} x  {row.key[:80]}")
    return {f"kernels.{name}_products": products / whole, f"kernels.{name}_ms": whole / 1e3}


@torch.inference_mode()
def run(quick: bool) -> dict[str, float]:
    """Measure and print; returns the figures by name."""
    del quick  # it is short as it is
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, float] = {}
    for name, make in {"lm": _steps, "encoder": _segments, "decoder": _windows}.items():
        figures |= _profiled(name, make(device), device)
    print(f"traces for a browser: {_OUT}")
    return figures
