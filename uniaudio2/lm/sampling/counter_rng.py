"""Draws random numbers as a pure function of where they are used: no generator, no state.

A request draws the same numbers alone, in any batch and on any device, because each number is a
hash of (its seed, step, column of the token grid, vocabulary id) and of nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """Convert a 64-bit constant to the int64 of the same bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


_GAMMA = _signed(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: the stride of splitmix64
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))
_COLUMNS = 16  # codebooks and text get distinct counters within a step
_MANTISSA = 53


def _shift_right(words: Tensor, bits: int) -> Tensor:
    """Shift logically: int64's own shift would smear the sign bit."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def mix(words: Tensor) -> Tensor:
    """Scramble int64 words one to one (the splitmix64 finaliser); products wrap around."""
    words = (words ^ _shift_right(words, 30)) * _MULTIPLIERS[0]
    words = (words ^ _shift_right(words, 27)) * _MULTIPLIERS[1]
    return words ^ _shift_right(words, 31)


def to_unit(words: Tensor) -> Tensor:
    """Place int64 words in the open interval (0, 1) by their upper 53 bits, as float32."""
    fractions = _shift_right(words, 64 - _MANTISSA).float() + 1.0
    # float32 is dense near 0 and coarse near 1, where rounding could reach 1 itself
    return (fractions * 2.0**-_MANTISSA).clamp(max=1.0 - 2.0**-24)


def uniform(seeds: Tensor, steps: Tensor, column: int, ids: Tensor) -> Tensor:
    """Draw numbers in the open interval (0, 1), one per request and vocabulary id.

    Args:
        seeds: ``[B]`` int64, one per request.
        steps: ``[B]`` int64, steps that each request has behind it.
        column: of the token grid: 0..7 for the depth of a codebook, 8 for text.
        ids: int64 ids ``[V]`` of all requests, or ``[B, V]`` of each.

    Returns:
        ``[B, V]`` float32.
    """
    counters = steps * _COLUMNS + column
    keys = mix(mix(seeds + _GAMMA) + counters * _GAMMA)  # [B]
    return to_unit(mix(keys[:, None] + (ids + 1) * _GAMMA))  # [B, V]


def exponential(seeds: Tensor, steps: Tensor, column: int, ids: Tensor) -> Tensor:
    """Draw from Exp(1), finely resolved near 0; arguments and shape as `uniform`."""
    return -torch.log1p(-uniform(seeds, steps, column, ids))
