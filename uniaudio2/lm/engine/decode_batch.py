"""Keeps the running requests in slots, and allocates the KV cache of their sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.lm.engine.decode_buffers import DecodeBuffers, sequences_of
from uniaudio2.lm.engine.prefill import ChunkedPrefill
from uniaudio2.lm.kv_cache import LmCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import TEXT

_LENGTH_MULTIPLE = 64  # caches grow by so many positions at least; captured steps read a multiple
_GROWTH = 1.25


@dataclass(frozen=True)
class StepShape:
    """What the work of a step depends on beside what is in memory: the key of its CUDA graph.

    Attributes:
        slots: how many take part, the first ones.
        kv_length: stored positions that attention reads.
        only_text: all that is fed is text, and no request will ever be fed audio that it chose.
        output: what all requests generate; None if they differ.
    """

    slots: int
    kv_length: int
    only_text: bool
    output: Literal["audio", "text"] | None


class DecodeBatch:
    """Requests in the slots 0..B-1, each with one or two sequences in a KV cache that grows.

    Args:
        lm: the model.
        slots: most requests.
        sequences_per_request: 2 under guidance, else 1.
        max_steps: most steps of a request.
        kv_positions: most positions that all sequences may hold; None for no limit.
        in_place: the cache has room for all that its requests may come to need, and steps have few
            shapes, so that a captured step can be replayed often.

    Attributes:
        buffers: of all slots.
        cache_version: how often the cache was allocated anew.
    """

    def __init__(
        self,
        lm: UniAudioLM,
        slots: int,
        sequences_per_request: int,
        max_steps: int,
        kv_positions: int | None = None,
        in_place: bool = False,
    ) -> None:
        self.lm, self.slots, self.sequences_per_request = lm, slots, sequences_per_request
        self.kv_positions, self.in_place = kv_positions, in_place
        self.buffers = DecodeBuffers.allocate(lm, slots, sequences_per_request, max_steps)
        self.cache_version = 0
        self._cache: LmCache | None = None
        # of each slot, known to the host without asking the device
        self._kv_lengths: list[int] = []  # of its longest sequence, what is fed next included
        self._max_kv_lengths: list[int] = []  # what that can become
        self._only_text: list[bool] = []  # whether text is fed next to all its sequences

    def __len__(self) -> int:
        return len(self._kv_lengths)

    @property
    def state(self) -> DecodeState:
        """View the state of the B requests."""
        return self.buffers.state.first(len(self))

    @property
    def cache(self) -> LmCache:
        """Keys and values of all sequences; there are requests."""
        assert self._cache  # noqa: S101 - allocated when the first request came
        return self._cache

    # ---- requests come -------------------------------------------------------------------

    def add(self, state: DecodeState, max_steps: list[int], prefill: ChunkedPrefill) -> None:
        """Put requests whose prompts were run into the slots behind those that are there.

        Args:
            state: of the requests.
            max_steps: of each.
            prefill: their prompts, done.
        """
        tokens, kind = prefill.last_tokens()
        per_request = self.sequences_per_request
        lengths = prefill.lengths.view(-1, per_request).max(dim=1).values.tolist()
        first, context = len(self), self.lm.config.context
        self._kv_lengths += lengths
        self._max_kv_lengths += [
            min(length + steps, context) for length, steps in zip(lengths, max_steps, strict=True)
        ]
        self._only_text += (kind.view(-1, per_request) == TEXT).all(dim=1).tolist()
        self._reserve_kv()
        sequences = slice(first * per_request, len(self) * per_request)
        self.cache.write_sequences(sequences.start, prefill.cache)
        buffers = self.buffers
        buffers.state.update(slice(first, len(self)), state)
        buffers.tokens[sequences] = to_device(tokens, self.lm.device)
        buffers.kind[sequences] = to_device(kind, self.lm.device)
        buffers.positions[sequences] = to_device(prefill.lengths - 1, self.lm.device)

    def _reserve_kv(self) -> None:
        """Allocate the cache anew if it does not hold what the requests need."""
        sequences = len(self) * self.sequences_per_request
        length = max(self._max_kv_lengths if self.in_place else self._kv_lengths)
        held = (self._cache.sequences, self._cache.length) if self._cache else (0, 0)
        if sequences <= held[0] and length <= held[1]:
            return
        shape = self._grown(sequences, length, held)
        self._cache = self._cache.resized(*shape) if self._cache else self.lm.new_cache(*shape)
        self.cache_version += 1

    def _grown(self, sequences: int, length: int, held: tuple[int, int]) -> tuple[int, int]:
        """Choose a cache's sequences and length that last for a while, if memory allows."""
        context, all_sequences = self.lm.config.context, self.slots * self.sequences_per_request
        if self.in_place:
            wider = self._padded(len(self)) * self.sequences_per_request
            longer = _round_up(length)
        else:
            wider = round(held[0] * _GROWTH) if sequences > held[0] > 0 else sequences
            longer = max(length + _LENGTH_MULTIPLE, round(length * _GROWTH) if held[1] else 0)
        wider = min(max(wider, sequences, held[0]), all_sequences)
        longer = min(longer if length > held[1] else held[1], context)
        if self.kv_positions is None or wider * longer <= self.kv_positions:
            return wider, longer
        # the scheduler saw to it that there is memory for all that these requests may need
        longer = max(max(self._max_kv_lengths), min(longer, self.kv_positions // sequences))
        fitting = self.kv_positions // longer // self.sequences_per_request
        return max(sequences, min(wider, fitting * self.sequences_per_request)), longer

    def _padded(self, requests: int) -> int:
        """The next power of two, if there are so many slots."""
        return min(1 << (requests - 1).bit_length(), self.slots)

    # ---- one step ------------------------------------------------------------------------

    def step_shape(self, output: Literal["audio", "text"] | None) -> StepShape:
        """Make room for the next step and give its shape.

        Args:
            output: what all requests generate; None if they differ.
        """
        self._reserve_kv()
        slots, kv_length = len(self), max(self._kv_lengths)
        if self.in_place:
            slots = min(self._padded(slots), self.cache.sequences // self.sequences_per_request)
            kv_length = min(_round_up(kv_length), self.cache.length)
        return StepShape(slots, kv_length, output == "text" and all(self._only_text), output)

    def count_step(self) -> None:
        """Note that a step was run."""
        self._kv_lengths = [
            min(length + 1, most)
            for length, most in zip(self._kv_lengths, self._max_kv_lengths, strict=True)
        ]
        self._only_text = [True] * len(self)

    # ---- requests leave ------------------------------------------------------------------

    def results(self, slots: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read what was generated in some slots, on the device.

        Returns:
            tokens ``[N, S, 9]``, how many steps of them each request has ``[N]``, whether a limit
            cut it or switched its phase ``[N]``, and the mean log-probability of what was chosen
            ``[N]``, NaN where nobody asked for it.
        """
        at, buffers = self._index(slots), self.buffers
        state = buffers.state.select(at)
        return buffers.generated[at], state.steps, state.hit_limit, state.logprob / state.drawn

    def remove(self, slots: set[int]) -> list[int]:
        """Free some slots; the requests of the last ones move there.

        Returns:
            for every slot that is still in use, the slot in which its request was.
        """
        running = [slot for slot in range(len(self)) if slot not in slots]
        gaps = [slot for slot in sorted(slots) if slot < len(running)]
        movers = [slot for slot in running if slot >= len(running)]
        kept = list(range(len(running)))
        for gap, mover in zip(gaps, movers, strict=True):
            kept[gap] = mover
        if movers:
            source, target = self._index(movers), self._index(gaps)
            per_request = self.sequences_per_request
            self.cache.copy_sequences(
                sequences_of(source, per_request), sequences_of(target, per_request)
            )
            self.buffers.copy_slots(source, target)
        self.buffers.clear_from(len(kept))
        self._kv_lengths = [self._kv_lengths[slot] for slot in kept]
        self._max_kv_lengths = [self._max_kv_lengths[slot] for slot in kept]
        self._only_text = [self._only_text[slot] for slot in kept]
        return kept

    def _index(self, slots: list[int]) -> Tensor:
        return to_device(torch.tensor(slots, dtype=torch.int64), self.lm.device)


def _round_up(length: int) -> int:
    return -(-length // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE
