"""The two token streams of one clip, the type that travels between codec and language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Stream = Literal["reason", "recon"]
PAIR: tuple[Stream, ...] = ("reason", "recon")
"""The streams of one sound, in the order in which they are generated."""


@dataclass(frozen=True)
class Codes:
    """Tokens of one clip, time first.

    Attributes:
        reason: ``[Tq, 8]`` int64 reasoning codes at 5 Hz (may be empty).
        recon: ``[T, 8]`` int64 reconstruction codes at 12.5 Hz; columns are pronunciation,
            structure-semantic, then six acoustic residual levels.
    """

    reason: Tensor
    recon: Tensor

    @staticmethod
    def join(parts: Sequence[Codes]) -> Codes:
        """The codes of several clips, one behind the other."""
        if not parts:
            return Codes.empty()
        return Codes(
            torch.cat([part.reason for part in parts]), torch.cat([part.recon for part in parts])
        )

    @staticmethod
    def empty() -> Codes:
        """No tokens at all: two ``[0, 8]`` tensors."""
        return Codes(torch.zeros(0, 8, dtype=torch.int64), torch.zeros(0, 8, dtype=torch.int64))
