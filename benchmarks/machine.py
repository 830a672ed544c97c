"""What this machine can do at best: the bounds that other figures are held against."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from uniaudio2.runtime.packed_linear import PackedWeight, is_packable

_COPY_MIB = 256
_GEMM = 1024
_REPEATS = 5


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Time of one call, the mean of `repeats`."""
    wait()
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - begun) / repeats


def wait() -> None:
    """Let the device finish what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def copy_bandwidth(device: str = "cpu") -> float:
    """Bytes per second that a large copy moves: what it reads and what it writes."""
    source = torch.ones(_COPY_MIB << 18, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    moved = 2 * source.numel() * source.element_size()
    return moved / seconds(lambda: target.copy_(source), _REPEATS)


def gemm_rate(dtype: torch.dtype = torch.float32, device: str = "cpu", side: int = _GEMM) -> float:
    """Floating-point operations per second of a product of square matrices, the quickest way."""
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    ways: list[Callable[[], object]] = [lambda: left @ right]
    if is_packable(right) and PackedWeight.is_possible():
        packed = PackedWeight(right)
        ways.append(lambda: packed.product(left))
    for way in ways:
        way()  # the first call of a shape pays for set-up
    return 2 * side**3 / min(seconds(way, _REPEATS) for way in ways)


def _packed_flops(rows: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Of a product that torch's own counter does not know; arguments are shapes."""
    return 2 * math.prod(rows) * weight[0]


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of products and convolutions in a call."""
    known = {}
    if PackedWeight.is_possible():
        known = {torch.ops.mkldnn._linear_pointwise: _packed_flops}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        work()
    return counter.get_total_flops()
