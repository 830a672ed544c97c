"""The two token streams of one clip, the type that travels between codec and language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniaudio2.lazily import torch

if TYPE_CHECKING:
    from torch import Tensor


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
    def join(several: Sequence[Codes]) -> Codes:
        """Concatenate the codes of several clips."""
        if not several:
            return Codes.empty()
        return Codes(
            torch.cat([codes.reason for codes in several]),
            torch.cat([codes.recon for codes in several]),
        )

    @staticmethod
    def gather(segments: Iterable[Codes], reason_frames: int, recon_frames: int) -> Codes:
        """Concatenate the codes of segments that come one by one, in tensors made at once.

        Thousands of small tensors that live long, made between large ones that do not, would keep
        the heap from ever shrinking.

        Args:
            segments: in order; what exceeds the frames is left out.
            reason_frames: frames of the whole.
            recon_frames: the same at the other rate.
        """
        whole = Codes(
            torch.zeros(reason_frames, 8, dtype=torch.int64),
            torch.zeros(recon_frames, 8, dtype=torch.int64),
        )
        reason_at = recon_at = 0
        for segment in segments:
            for stream, own, at in (
                (whole.reason, segment.reason, reason_at),
                (whole.recon, segment.recon, recon_at),
            ):
                room = stream[at : at + len(own)]
                room.copy_(own[: len(room)])
            reason_at += len(segment.reason)
            recon_at += len(segment.recon)
        return whole

    @staticmethod
    def empty() -> Codes:
        """Make codes without frames: two ``[0, 8]`` tensors."""
        return Codes(torch.zeros(0, 8, dtype=torch.int64), torch.zeros(0, 8, dtype=torch.int64))
