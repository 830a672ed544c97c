"""Runs prompts into the KV cache a chunk at a time, between the steps of other requests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uniaudio2.lm.engine.prefix_cache import PrefixCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import AUDIO, Prompt, pad_prompts


class ChunkedPrefill:
    """Runs the prompts of a group of requests, all to the same position, chunk by chunk.

    Args:
        lm: the model.
        prompts: conditional ones, each followed by its unconditional one under guidance.
        prefix_cache: has the positions that the prompts share.

    Attributes:
        lengths: ``[M]`` int64 on the CPU, positions of each prompt.
        cache: all positions but the last of each prompt, once `is_done`.
        position: how many positions the cache holds.
    """

    def __init__(
        self, lm: UniAudioLM, prompts: Sequence[Prompt], prefix_cache: PrefixCache
    ) -> None:
        self.lm = lm
        self.tokens, self.kind, self.lengths = pad_prompts(prompts)
        self.stop = self.tokens.shape[1] - 1
        self.cache = lm.new_cache(len(prompts), max(self.stop, 1))
        self.position = prefix_cache.load(self.tokens, self.kind, self.lengths, self.cache)

    @property
    def is_done(self) -> bool:
        """Whether the cache holds all that it is to hold."""
        return self.position >= self.stop

    def run_chunk(self, max_positions: int) -> None:
        """Run about `max_positions` more positions at most, of all prompts together."""
        start = self.position
        stop = min(start + max(max_positions // len(self.lengths), 1), self.stop)
        if stop > start:
            chunk = to_device(self.tokens[:, start:stop], self.lm.device)
            after_audio = bool((self.kind[:, :start] == AUDIO).any())
            self.lm.prefill(chunk, self.kind[:, start:stop], self.cache, start, after_audio)
        self.position = stop

    def last_tokens(self) -> tuple[Tensor, Tensor]:
        """Give what the first step feeds: the last position of each prompt.

        Returns:
            tokens ``[M, 9]`` int64 and kind ``[M]`` uint8, on the CPU.
        """
        every = torch.arange(len(self.lengths))
        return self.tokens[every, self.lengths - 1], self.kind[every, self.lengths - 1]
