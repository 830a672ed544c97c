"""The state of every request while it is decoded, as tensors, so that all ages share a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from uniaudio2.runtime.transfers import to_device

REASON, SEMANTIC = 0, 1


@dataclass(frozen=True)
class Phases:
    """The phases of one audio answer; reasoning and reconstruction take turns.

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
class DecodeState:
    """State of B requests; every field is ``[B]``.

    Attributes:
        seed: int64, decides the draws.
        steps: int64, steps so far, the present one included once `count_step` was called.
        max_steps: int64, where the answer is cut off.
        phase: int64, `REASON` or `SEMANTIC`; audio only.
        phase_steps: int64, steps of the phase so far, that of its bos included; audio only.
        phases_left: int64, phases to come, the present one included; audio only.
        reason_limit: int64, see `Phases`; audio only.
        recon_limit: int64, see `Phases`; audio only.
        hit_limit: bool, a limit cut the answer or switched its phase.
        finished: bool, no further step is needed.
        logprob: float64, sum of the log-probabilities of the tokens that were chosen; 0 where
            nobody asked for them.
        drawn: int64, how many tokens these are.
    """

    seed: Tensor
    steps: Tensor
    max_steps: Tensor
    phase: Tensor
    phase_steps: Tensor
    phases_left: Tensor
    reason_limit: Tensor
    recon_limit: Tensor
    hit_limit: Tensor
    finished: Tensor
    logprob: Tensor
    drawn: Tensor

    @staticmethod
    def start(
        seeds: list[int], max_steps: list[int], phases: list[Phases], device: torch.device
    ) -> DecodeState:
        """Make the state of requests before their first step."""
        known = {
            "seed": seeds,
            "max_steps": max_steps,
            "phase": [one.first for one in phases],
            "phases_left": [one.count for one in phases],
            "reason_limit": [one.reason_limit for one in phases],
            "recon_limit": [one.recon_limit for one in phases],
        }
        # one table, so that a device is handed them at once
        table = torch.tensor(list(known.values()), dtype=torch.int64)  # [6, B]
        state = DecodeState.of_empty_slots(len(seeds), device)
        state.finished.fill_(False)
        return replace(state, **dict(zip(known, to_device(table, device).unbind(), strict=True)))

    @staticmethod
    def of_empty_slots(count: int, device: torch.device) -> DecodeState:
        """Make the state of slots without a request: that of a finished one."""
        numbers = {
            field.name: torch.zeros(count, dtype=torch.int64, device=device)
            for field in fields(DecodeState)
        }
        flags = {
            name: torch.full((count,), name == "finished", device=device)
            for name in ("hit_limit", "finished")
        }
        numbers["logprob"] = numbers["logprob"].double()
        return DecodeState(**(numbers | flags))

    def count_step(self, stopped: Tensor) -> None:
        """Count the present step, and finish requests that stopped or are at their limit.

        Args:
            stopped: ``[B]`` bool, answers that ended by themselves; ignored where finished.
        """
        running = ~self.finished
        self.steps = self.steps + running
        cut = running & ~stopped & (self.steps >= self.max_steps)
        self.hit_limit = self.hit_limit | cut
        self.finished = self.finished | stopped | cut

    def count_drawn(self, logprobs: Tensor, drawn: Tensor) -> None:
        """Add the log-probabilities of what the present step chose.

        Args:
            logprobs: ``[B, K]`` of K tokens.
            drawn: ``[B, K]`` bool, which of them were chosen, and not given by a rule.
        """
        drawn = drawn & ~self.finished[:, None]
        self.logprob = self.logprob + logprobs.double().masked_fill(~drawn, 0.0).sum(dim=1)
        self.drawn = self.drawn + drawn.sum(dim=1)

    def select(self, slots: Tensor) -> DecodeState:
        """Copy the state in `slots` ``[B']`` int64, in that order."""
        return DecodeState(**{one.name: getattr(self, one.name)[slots] for one in fields(self)})

    def first(self, count: int) -> DecodeState:
        """View the state in the first slots."""
        return DecodeState(**{one.name: getattr(self, one.name)[:count] for one in fields(self)})

    def update(self, slots: Tensor | slice, state: DecodeState) -> None:
        """Write state into some slots ``[B']`` int64, in place."""
        for field in fields(self):
            getattr(self, field.name)[slots] = getattr(state, field.name)

    def copy_from(self, state: DecodeState) -> None:
        """Take over the state of the same slots, in the memory of this one."""
        for field in fields(self):
            own, new = getattr(self, field.name), getattr(state, field.name)
            if new is not own:
                own.copy_(new)
