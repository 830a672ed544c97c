"""Computes what prompts begin with once: keys and values of shared prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.lm.kv_cache import LmCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import Prompt, pad_prompts

_MIN_SHARED = 8  # positions; copying a stored prefix costs about as much as running so few


@dataclass(frozen=True)
class _Prefix:
    """The first P positions of prompts, computed: of one prompt, or of the two under guidance.

    Attributes:
        tokens: ``[N, P, 9]`` int64 on the CPU, N sequences of a request.
        kind: ``[N, P]`` uint8 on the CPU.
        cache: of N sequences and P positions.
    """

    tokens: Tensor
    kind: Tensor
    cache: LmCache

    @property
    def length(self) -> int:
        """P."""
        return int(self.tokens.shape[1])

    def begins(self, tokens: Tensor, kind: Tensor, shortest: int) -> bool:
        """Whether all prompts ``[M, S, 9]`` begin with it and go on behind it."""
        if self.length >= shortest or len(tokens) % len(self.tokens):
            return False
        copies = len(tokens) // len(self.tokens)
        first, first_kind = tokens[:, : self.length], kind[:, : self.length]
        return torch.equal(first, self.tokens.repeat(copies, 1, 1)) and torch.equal(
            first_kind, self.kind.repeat(copies, 1)
        )


class PrefixCache:
    """Remembers the prefix that was shared last: the requests of a job mostly share one.

    Args:
        lm: the model.
        sequences_per_request: 2 under guidance, whose conditional and unconditional prompts
            alternate, else 1.
        known: a prefix of each sequence that is known beforehand; it is kept for good.

    Attributes:
        computed_positions: positions that were run for prefixes, of all sequences together.
    """

    def __init__(
        self, lm: UniAudioLM, sequences_per_request: int, known: Sequence[Prompt] | None = None
    ) -> None:
        self.lm, self.sequences_per_request = lm, sequences_per_request
        self.computed_positions = 0
        self._to_compute = known
        self._known: _Prefix | None = None
        self._latest: _Prefix | None = None

    def load(self, tokens: Tensor, kind: Tensor, lengths: Tensor, cache: LmCache) -> int:
        """Copy the prefix that all prompts begin with into their cache, if there is one.

        Args:
            tokens: ``[M, S, 9]`` int64 on the CPU.
            kind: ``[M, S]`` uint8 on the CPU.
            lengths: ``[M]`` int64 on the CPU, positions of each prompt.
            cache: of M sequences; its first positions are written.

        Returns:
            how many positions were written; 0 if the prompts share nothing that is worth it.
        """
        prefix = self._find(tokens, kind, int(lengths.min()))
        if prefix is None:
            return 0
        cache.write_sequences(0, prefix.cache.repeated(len(tokens) // self.sequences_per_request))
        return prefix.length

    def _find(self, tokens: Tensor, kind: Tensor, shortest: int) -> _Prefix | None:
        """A prefix that begins all prompts, computed now if that will pay."""
        if self._to_compute:
            known_tokens, known_kind, _ = pad_prompts(self._to_compute)
            self._known, self._to_compute = self._computed(known_tokens, known_kind), None
        for prefix in (self._known, self._latest):
            if prefix and prefix.begins(tokens, kind, shortest):
                return prefix
        count = self.sequences_per_request
        if len(tokens) <= count:
            return None
        shared = min(self._shared_length(tokens, kind), shortest - 1)
        if shared < _MIN_SHARED:
            return None
        self._latest = self._computed(tokens[:count, :shared], kind[:count, :shared])
        return self._latest

    def _computed(self, tokens: Tensor, kind: Tensor) -> _Prefix:
        """Run the positions ``[N, P, 9]`` of a prefix."""
        count, length = tokens.shape[:2]
        cache = self.lm.new_cache(count, length)
        self.lm.prefill(to_device(tokens, self.lm.device), kind, cache)
        self.computed_positions += count * length
        return _Prefix(tokens, kind, cache)

    def _shared_length(self, tokens: Tensor, kind: Tensor) -> int:
        """Count the positions that all conditional, and all unconditional prompts begin with."""
        count = self.sequences_per_request
        copies = len(tokens) // count
        is_same = (tokens == tokens[:count].repeat(copies, 1, 1)).all(-1)
        is_same &= kind == kind[:count].repeat(copies, 1)
        return int(is_same.all(0).long().cumprod(0).sum())
