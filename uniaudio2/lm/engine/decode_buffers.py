"""Holds the tensors that a step reads and writes in place, so that a CUDA graph can repeat it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.lm.kv_cache import KvCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.tokens.grid import COLUMNS, TEXT, TEXT_COLUMN


def sequences_of(slots: Tensor, sequences_per_request: int) -> Tensor:
    """Index the sequences of slots ``[B]``, those of each side by side: ``[B * per request]``."""
    offsets = torch.arange(sequences_per_request, device=slots.device)
    return (slots[:, None] * sequences_per_request + offsets).flatten()


@dataclass(frozen=True)
class DecodeBuffers:
    """Buffers of B slots and of their M sequences.

    Attributes:
        state: of the slots' requests.
        tokens: ``[M, 9]`` int64, what each sequence is fed next.
        kind: ``[M]`` uint8, whether that is text or audio.
        positions: ``[M]`` int64, where it goes.
        generated: ``[B, S, 9]`` int64, the tokens that S steps chose.
        depth_cache: of the local decoder, within a step.
    """

    state: DecodeState
    tokens: Tensor
    kind: Tensor
    positions: Tensor
    generated: Tensor
    depth_cache: KvCache

    @staticmethod
    def allocate(
        lm: UniAudioLM, slots: int, sequences_per_request: int, max_steps: int
    ) -> DecodeBuffers:
        """Allocate buffers for empty slots, whose requests may have up to `max_steps` steps."""
        sequences = slots * sequences_per_request
        tokens = torch.zeros(sequences, COLUMNS, dtype=torch.int64, device=lm.device)  # [M, 9]
        return DecodeBuffers(
            state=DecodeState.of_empty_slots(slots, lm.device),
            tokens=tokens,
            kind=torch.full((sequences,), TEXT, dtype=torch.uint8, device=lm.device),
            positions=tokens.new_zeros(sequences),
            # a finished request whose slot is not free yet goes on choosing, past its end
            generated=tokens.new_zeros(slots, max_steps + 1, COLUMNS),
            depth_cache=lm.new_depth_cache(sequences),
        )

    @property
    def sequences_per_request(self) -> int:
        """2 under guidance, else 1."""
        return len(self.tokens) // len(self.generated)

    def first(self, slots: int) -> DecodeBuffers:
        """View the first slots."""
        sequences = slots * self.sequences_per_request
        return DecodeBuffers(
            self.state.first(slots),
            self.tokens[:sequences],
            self.kind[:sequences],
            self.positions[:sequences],
            self.generated[:slots],
            self.depth_cache.first(sequences),
        )

    def text_history(self) -> Tensor:
        """View the text ids that were chosen, ``[B, S]``; slot b has ``state.steps[b]``."""
        return self.generated[:, :, TEXT_COLUMN]

    def write_step(self, state: DecodeState, tokens: Tensor, kind: Tensor, stopped: Tensor) -> None:
        """Store what a step chose, and feed it to the next one; finished requests stay in place.

        Args:
            state: of the slots after the choice.
            tokens: ``[B, 9]`` int64.
            kind: ``[B]``, whether they are text or audio.
            stopped: ``[B]`` bool, answers that ended by themselves.
        """
        count, per_request = len(tokens), self.sequences_per_request
        self.generated[torch.arange(count, device=tokens.device), state.steps] = tokens
        state.count_step(stopped)
        self.state.copy_from(state)
        self.tokens.view(count, per_request, COLUMNS).copy_(tokens[:, None])
        self.kind.view(count, per_request).copy_(kind[:, None])
        self.positions.view(count, per_request).add_((~state.finished)[:, None])

    def copy_slots(self, source: Tensor, target: Tensor) -> None:
        """Copy slots over others; both are ``[N]`` int64."""
        per_request = self.sequences_per_request
        before, after = sequences_of(source, per_request), sequences_of(target, per_request)
        self.state.update(target, self.state.select(source))
        for own in (self.tokens, self.kind, self.positions):
            own[after] = own[before]
        self.generated[target] = self.generated[source]

    def clear_from(self, slot: int) -> None:
        """Empty the slot and those behind it."""
        self.state.finished[slot:] = True
        self.positions[slot * self.sequences_per_request :] = 0  # within any cache
