"""Prompts on their way into the cache, a piece at a time; what prompts share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.lm.kv_cache import LmCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.transfers import send
from uniaudio2.tokens.grid import AUDIO, Prompt, pad_prompts

_WORTH_SHARING = 8  # rows; copying a stored prefix costs about as much as running so few


@dataclass(frozen=True)
class Prefix:
    """The first rows of many prompts, computed.

    Attributes:
        tokens: ``[halves, P, 9]`` int64 on the CPU.
        kind: ``[halves, P]`` uint8 on the CPU.
        cache: of `halves` sequences and P rows.
    """

    tokens: Tensor
    kind: Tensor
    cache: LmCache

    def __len__(self) -> int:
        return int(self.tokens.shape[1])

    def opens(self, tokens: Tensor, kind: Tensor, shortest: int) -> bool:
        """Whether all prompts ``[M, S, 9]`` begin with it and go on behind it."""
        if len(self) >= shortest or len(tokens) % len(self.tokens):
            return False
        copies = len(tokens) // len(self.tokens)
        first, first_kind = tokens[:, : len(self)], kind[:, : len(self)]
        return torch.equal(first, self.tokens.repeat(copies, 1, 1)) and torch.equal(
            first_kind, self.kind.repeat(copies, 1)
        )


class PrefixShelf:
    """Remembers the prefix that was shared last: the rows of a job mostly share one.

    Args:
        lm: the model.
        halves: 2 with guidance, whose conditional and blank prompts alternate, else 1.
        known: a prefix of each half that is known beforehand; it is kept for good.

    Attributes:
        computed_rows: prefix rows that were run, of all sequences together.
    """

    def __init__(self, lm: UniAudioLM, halves: int, known: Sequence[Prompt] | None = None) -> None:
        self.lm, self.halves, self._known = lm, halves, known
        self.kept: Prefix | None = None
        self.prefix: Prefix | None = None
        self.computed_rows = 0

    def find(self, tokens: Tensor, kind: Tensor, lengths: Tensor) -> Prefix | None:
        """A prefix that opens all prompts ``[M, S, 9]``, made now if it will pay."""
        shortest = int(lengths.min())
        if self._known:
            tokens_of, kind_of, _ = pad_prompts(self._known)
            self.kept, self._known = self._computed(tokens_of, kind_of), None
        if self.kept and self.kept.opens(tokens, kind, shortest):
            return self.kept
        if self.prefix and self.prefix.opens(tokens, kind, shortest):
            return self.prefix
        if len(tokens) <= self.halves:
            return None
        shared = min(self._shared(tokens, kind), shortest - 1)
        if shared < _WORTH_SHARING:
            return None
        self.prefix = self._computed(tokens[: self.halves, :shared], kind[: self.halves, :shared])
        return self.prefix

    def _computed(self, tokens: Tensor, kind: Tensor) -> Prefix:
        """Run the rows ``[halves, P, 9]`` of a prefix."""
        cache = self.lm.new_cache(self.halves, tokens.shape[1])
        self.lm.prefill(send(tokens, self.lm.device), kind, cache)
        self.computed_rows += self.halves * tokens.shape[1]
        return Prefix(tokens, kind, cache)

    def _shared(self, tokens: Tensor, kind: Tensor) -> int:
        """Rows that all prompts of the same half begin with."""
        copies = len(tokens) // self.halves
        same = (tokens == tokens[: self.halves].repeat(copies, 1, 1)).all(-1)
        same &= kind == kind[: self.halves].repeat(copies, 1)
        return int(same.all(0).long().cumprod(0).sum())


class Joining:
    """Prompts that are being prefilled while other rows go on.

    Args:
        lm: the model.
        prompts: conditional ones, each followed by its blank one under guidance.
        shelf: of shared prefixes.

    Attributes:
        lengths: ``[M]`` int64 on the CPU, rows of each prompt.
        cache: all rows but the last of each prompt, once `is_done`.
        at: rows that the cache holds.
    """

    def __init__(self, lm: UniAudioLM, prompts: Sequence[Prompt], shelf: PrefixShelf) -> None:
        self.lm = lm
        self.tokens, self.kind, self.lengths = pad_prompts(prompts)
        self.stop = self.tokens.shape[1] - 1
        self.cache = lm.new_cache(len(prompts), max(self.stop, 1))
        self.at = 0
        prefix = shelf.find(self.tokens, self.kind, self.lengths)
        if prefix:
            self.cache.put(0, prefix.cache.repeated(len(prompts) // shelf.halves))
            self.at = len(prefix)

    @property
    def is_done(self) -> bool:
        return self.at >= self.stop

    def advance(self, rows: int) -> None:
        """Run at most about `rows` more rows, of all prompts together."""
        stop = min(self.at + max(rows // len(self.lengths), 1), self.stop)
        if stop > self.at:
            piece = send(self.tokens[:, self.at : stop], self.lm.device)
            after_audio = bool((self.kind[:, : self.at] == AUDIO).any())
            self.lm.prefill(piece, self.kind[:, self.at : stop], self.cache, self.at, after_audio)
        self.at = stop

    def last_rows(self) -> tuple[Tensor, Tensor]:
        """The row that each prompt's first step feeds: ``[M, 9]`` and its kind ``[M]``."""
        every = torch.arange(len(self.lengths))
        return self.tokens[every, self.lengths - 1], self.kind[every, self.lengths - 1]
