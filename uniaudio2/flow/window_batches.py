"""Batches of windows: which windows of which clips go through the transformer together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio2.flow.noise import NoiseSource
from uniaudio2.flow.windows import FRAMES_PER_CODE, CrossFade, WindowPlan
from uniaudio2.runtime.memory_budget import Budget
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.codes import Codes


@dataclass
class ClipState:
    """What is decoded of a clip so far.

    Attributes:
        index: of the clip in the call.
        codes: what is decoded.
        plan: the windows.
        done: number of finished windows.
        tail: ``[incontext_frames, latent]``, the end of the last window; None before the first.
        fade: joins the windows.
    """

    index: int
    codes: Codes
    plan: WindowPlan
    done: int = 0
    tail: Tensor | None = None
    fade: CrossFade = field(init=False)

    def __post_init__(self) -> None:
        self.fade = CrossFade(self.plan, self.length)

    @property
    def length(self) -> int:
        """Number of reconstruction codes."""
        return len(self.codes.recon)

    @property
    def left(self) -> int:
        """Number of windows that are not finished."""
        return self.plan.count(self.length) - self.done

    @property
    def frames(self) -> int:
        """Number of latent frames of the next window."""
        return FRAMES_PER_CODE * self.plan.size(self.done, self.length)


@dataclass(frozen=True)
class WindowBatch:
    """Input of the transformer: windows of one length.

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


def next_batch(clips: Sequence[ClipState], budget: Budget) -> list[ClipState]:
    """Choose clips whose next windows have one length: that of the clip with most windows left.

    Args:
        clips: unfinished ones, at least one.
        budget: bounds the batch; a whole window is one item.
    """
    leader = max(clips, key=lambda one: (one.left, one.frames, -one.index))
    alike = [one for one in clips if one.frames == leader.frames]
    alike.sort(key=lambda one: (-one.left, one.index))
    return alike[: budget.fits(leader.frames / leader.plan.frames)]


def draw_noise(clips: Sequence[ClipState], noise: NoiseSource, channels: int) -> list[Tensor]:
    """Draw the noise of every clip's next window, each ``[F, channels]``.

    A whole window's worth is drawn: a cut one gets the start of the same noise, and the next
    draw of the clip's stream is the same too.
    """
    return [noise(one.index, one.plan.frames, channels)[: one.frames] for one in clips]


def stack_windows(
    embedding: Tensor, noises: Sequence[Tensor], tails: Sequence[Tensor | None]
) -> WindowBatch:
    """Stack windows of one length, on the device of the conditioning.

    Args:
        embedding: ``[B, F / 2, dim]``.
        noises: each ``[F, latent]``.
        tails: what each clip's window starts from, ``[known, latent]`` or None.
    """
    noise = to_device(torch.stack(list(noises)), embedding.device)
    none_known = noise.new_zeros(0, noise.shape[-1])
    given = [none_known if tail is None else tail for tail in tails]
    frames = noise.shape[1]
    padded = [functional.pad(tail, (0, 0, 0, frames - len(tail))) for tail in given]
    known = to_device(torch.tensor([len(tail) for tail in given]), noise.device)
    return WindowBatch(embedding, noise, torch.stack(padded), known)
