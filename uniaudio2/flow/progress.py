"""Rows on their way through their windows: which windows go through the transformer together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio2.flow.noise import NoiseSource
from uniaudio2.flow.windows import FRAMES_PER_CODE, CrossFade, WindowPlan
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.transfers import send
from uniaudio2.tokens.codes import Codes


@dataclass
class Progress:
    """A row on its way through its windows.

    Attributes:
        row: its number in the call.
        codes: what is decoded.
        plan: the windows.
        done: finished windows.
        tail: ``[incontext_frames, latent]``, the end of the last window; None before the first.
        fade: what the windows have become so far.
    """

    row: int
    codes: Codes
    plan: WindowPlan
    done: int = 0
    tail: Tensor | None = None
    fade: CrossFade = field(init=False)

    def __post_init__(self) -> None:
        self.fade = CrossFade(self.plan, self.length)

    @property
    def length(self) -> int:
        """Reconstruction codes of the row."""
        return len(self.codes.recon)

    @property
    def left(self) -> int:
        """Windows that are not finished."""
        return self.plan.count(self.length) - self.done

    @property
    def frames(self) -> int:
        """Latent frames of the next window."""
        return FRAMES_PER_CODE * self.plan.size(self.done, self.length)


@dataclass(frozen=True)
class WindowBatch:
    """What the transformer needs of windows of one length.

    Attributes:
        embedding: ``[B, F / 2, dim]`` float32, conditioning.
        noise: ``[B, F, latent]`` float32.
        incontext: ``[B, F, latent]`` float32, known frames at the start, zero behind.
        known: ``[B]`` int64, how many are known.
    """

    embedding: Tensor
    noise: Tensor
    incontext: Tensor
    known: Tensor


def next_batch(rows: Sequence[Progress], budget: Budget) -> list[Progress]:
    """Choose rows whose next windows have one length; the row that has most before it leads.

    Args:
        rows: unfinished ones, at least one.
        budget: what the batch may cost; a whole window costs 1.
    """
    leader = max(rows, key=lambda one: (one.left, one.frames, -one.row))
    alike = [one for one in rows if one.frames == leader.frames]
    alike.sort(key=lambda one: (-one.left, one.row))
    return alike[: budget.room(leader.frames / leader.plan.frames)]


def draw_noise(rows: Sequence[Progress], noise: NoiseSource, channels: int) -> list[Tensor]:
    """Noise of every row's next window, each ``[F, channels]``.

    A whole window's worth is drawn: a cut one gets the start of the same noise, and the next
    draw of the row's stream is the same too.
    """
    return [noise(one.row, one.plan.frames, channels)[: one.frames] for one in rows]


def stack_windows(
    embedding: Tensor, noises: Sequence[Tensor], tails: Sequence[Tensor | None]
) -> WindowBatch:
    """Put windows of one length side by side, on the device of the conditioning.

    Args:
        embedding: ``[B, F / 2, dim]``.
        noises: each ``[F, latent]``.
        tails: what each row's window starts from, ``[known, latent]`` or None.
    """
    noise = send(torch.stack(list(noises)), embedding.device)
    nothing = noise.new_zeros(0, noise.shape[-1])
    given = [nothing if tail is None else tail for tail in tails]
    frames = noise.shape[1]
    padded = [functional.pad(tail, (0, 0, 0, frames - len(tail))) for tail in given]
    known = send(torch.tensor([len(tail) for tail in given]), noise.device)
    return WindowBatch(embedding, noise, torch.stack(padded), known)
