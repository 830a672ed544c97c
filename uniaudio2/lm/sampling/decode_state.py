"""What a decoding loop knows of each row, as tensors, so that rows of all ages share a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from uniaudio2.runtime.transfers import send

REASON, SEMANTIC = 0, 1


@dataclass(frozen=True)
class Phases:
    """The phases of one answer; reasoning and reconstruction take turns.

    Attributes:
        first: `REASON` or `SEMANTIC`.
        count: how many there are.
        reason_limit: frames after which a reasoning phase is ended, unless it is the last phase.
        recon_limit: the same for reconstruction.
    """

    first: int
    count: int
    reason_limit: int
    recon_limit: int


@dataclass
class Rows:
    """State of B rows; every field is ``[B]``.

    Attributes:
        seed: int64, decides the row's draws.
        frames: int64, frames (or text ids) chosen so far, the last one included.
        max_frames: int64, where the row is cut off.
        phase: int64, `REASON` or `SEMANTIC`; audio only.
        in_phase: int64, frames of the phase so far, its bos included; audio only.
        left: int64, phases to come, the present one included; audio only.
        reason_limit: int64, see `Phases`; audio only.
        recon_limit: int64, see `Phases`; audio only.
        limited: bool, a limit cut or switched the row.
        done: bool, the row needs no further step.
    """

    seed: Tensor
    frames: Tensor
    max_frames: Tensor
    phase: Tensor
    in_phase: Tensor
    left: Tensor
    reason_limit: Tensor
    recon_limit: Tensor
    limited: Tensor
    done: Tensor

    @staticmethod
    def start(
        seeds: list[int], max_frames: list[int], phases: list[Phases], device: torch.device
    ) -> Rows:
        """Rows that have chosen nothing yet."""
        known = {
            "seed": seeds,
            "max_frames": max_frames,
            "phase": [one.first for one in phases],
            "left": [one.count for one in phases],
            "reason_limit": [one.reason_limit for one in phases],
            "recon_limit": [one.recon_limit for one in phases],
        }
        # one table, so that a device is handed them at once
        table = torch.tensor(list(known.values()), dtype=torch.int64)  # [6, B]
        rows = Rows.vacant(len(seeds), device)
        rows.done.fill_(False)
        return replace(rows, **dict(zip(known, send(table, device).unbind(), strict=True)))

    @staticmethod
    def vacant(count: int, device: torch.device) -> Rows:
        """Places without a row: their state is that of a row that is done."""
        numbers = {
            field.name: torch.zeros(count, dtype=torch.int64, device=device)
            for field in fields(Rows)
        }
        flags = {
            name: torch.full((count,), name == "done", device=device)
            for name in ("limited", "done")
        }
        return Rows(**(numbers | flags))

    def count(self, stopped: Tensor) -> None:
        """Count the frame just chosen, and finish rows that stopped or are at their limit.

        Args:
            stopped: ``[B]`` bool, rows that ended by themselves; ignored for finished rows.
        """
        live = ~self.done
        self.frames = self.frames + live
        cut = live & ~stopped & (self.frames >= self.max_frames)
        self.limited = self.limited | cut
        self.done = self.done | stopped | cut

    def select(self, rows: Tensor) -> Rows:
        """Keep the rows named by `rows` ``[B']`` int64, in that order."""
        return Rows(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def first(self, count: int) -> Rows:
        """The first rows, as views."""
        return Rows(**{field.name: getattr(self, field.name)[:count] for field in fields(self)})

    def update(self, at: Tensor | slice, rows: Rows) -> None:
        """Write the state of some rows back: `rows` are those at ``[B']`` int64."""
        for field in fields(self):
            getattr(self, field.name)[at] = getattr(rows, field.name)

    def overwrite(self, rows: Rows) -> None:
        """Take over the state of the same rows, in the memory of this one."""
        for field in fields(self):
            own, new = getattr(self, field.name), getattr(rows, field.name)
            if new is not own:
                own.copy_(new)
