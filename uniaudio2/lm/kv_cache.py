"""Stores keys and values of past positions; which sequence is where is for the caller to know."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from uniaudio2.config import StackConfig


@dataclass(frozen=True)
class AttentionMetadata:
    """Where one new position of every sequence is stored, and which positions it attends to.

    Attributes:
        positions: of the new one, ``[B]`` int64, or one number for all sequences.
        kv_length: stored positions that attention reads, a bound on ``positions + 1``.
        mask: ``[B, 1, 1, kv_length]``, added to scores: minus infinity beyond a sequence's own
            position, else 0; None when every sequence attends to all that is read.
        sequences: the index of all sequences, ``[B]`` int64; None where one position serves all.
    """

    positions: Tensor | int
    kv_length: int
    mask: Tensor | None
    sequences: Tensor | None = None

    @staticmethod
    def per_sequence(
        positions: Tensor, kv_length: int, dtype: torch.dtype = torch.float32
    ) -> AttentionMetadata:
        """Describe sequences of different lengths.

        Args:
            positions: ``[B]`` int64.
            kv_length: see `AttentionMetadata`.
            dtype: of the queries.
        """
        stored = torch.arange(kv_length, device=positions.device)
        is_hidden = (stored > positions[:, None])[:, None, None]  # [B, 1, 1, kv_length]
        # made once a step: attention would make the same of a bool mask in every layer
        mask = torch.zeros_like(is_hidden, dtype=dtype).masked_fill_(is_hidden, -math.inf)
        sequences = torch.arange(len(positions), device=stored.device)
        return AttentionMetadata(positions, kv_length, mask, sequences)

    @staticmethod
    def shared(position: int) -> AttentionMetadata:
        """Describe sequences that are all at the same position."""
        return AttentionMetadata(position, position + 1, None)

    def look_up(self, table: Tensor) -> Tensor:
        """Look the positions up in a table ``[P, head]``: broadcastable to ``[B, H, 1, head]``."""
        if isinstance(self.positions, int):
            return table[self.positions]
        return table[self.positions][:, None, None]


@dataclass(frozen=True)
class KvCache:
    """Keys and values of one stack of layers.

    Attributes:
        keys: ``[layers, B, groups, L, head]``, rotated.
        values: ``[layers, B, groups, L, head]``.
    """

    keys: Tensor
    values: Tensor

    @staticmethod
    def allocate(
        stack: StackConfig, sequences: int, length: int, like: Tensor, zeroed: bool = True
    ) -> KvCache:
        """Allocate `length` positions for each of `sequences` sequences.

        Args:
            stack: sizes.
            sequences: how many.
            length: positions of each.
            like: a tensor of the dtype and on the device that are wanted.
            zeroed: what a mask hides must still be finite, and zeros are what an expert stores for
                text that precedes all audio. Where every position is stored before it is attended
                to, False spares the writing.
        """
        shape = (stack.layers, sequences, stack.kv_groups, length, stack.head_dim)
        make = like.new_zeros if zeroed else like.new_empty
        return KvCache(make(shape), make(shape))

    def write_chunk(
        self, layer: int, keys: Tensor, values: Tensor, start: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Store T positions ``[B, groups, T, head]`` of every sequence from `start` on.

        Returns:
            Keys and values of all positions so far, ``[B, groups, start + T, head]``.
        """
        stop = start + keys.shape[2]
        self.keys[layer, :, :, start:stop] = keys
        self.values[layer, :, :, start:stop] = values
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def append(
        self, layer: int, keys: Tensor, values: Tensor, metadata: AttentionMetadata
    ) -> tuple[Tensor, Tensor]:
        """Store one position ``[B, groups, 1, head]`` a sequence and return all that it attends to.

        Returns:
            Keys and values ``[B, groups, kv_length, head]``, views of the cache.
        """
        sequences = slice(None) if metadata.sequences is None else metadata.sequences
        self.keys[layer][sequences, :, metadata.positions] = keys[:, :, 0]
        self.values[layer][sequences, :, metadata.positions] = values[:, :, 0]
        read = slice(metadata.kv_length)
        return self.keys[layer, :, :, read], self.values[layer, :, :, read]

    @property
    def length(self) -> int:
        """Positions that each sequence has room for."""
        return self.keys.shape[3]

    def first(self, count: int) -> KvCache:
        """View the first sequences."""
        return KvCache(self.keys[:, :count], self.values[:, :count])

    def resized(self, sequences: int, length: int) -> KvCache:
        """Copy the first positions of the first sequences to other room; what is new is zero."""
        more = (0, 0, 0, length - self.length, 0, 0, 0, sequences - self.keys.shape[1])
        return KvCache(F.pad(self.keys, more), F.pad(self.values, more))

    def copy_sequences(self, source: Tensor, target: Tensor) -> None:
        """Copy whole sequences over others; both are ``[N]`` int64."""
        self.keys[:, target] = self.keys[:, source]
        self.values[:, target] = self.values[:, source]

    def repeated(self, copies: int) -> KvCache:
        """Copy all sequences several times, one whole set of them after the other."""
        return KvCache(self.keys.repeat(1, copies, 1, 1, 1), self.values.repeat(1, copies, 1, 1, 1))

    def write_sequences(self, first: int, other: KvCache) -> None:
        """Copy all sequences of a shorter cache over the sequence `first` and those behind it."""
        count, length = other.keys.shape[1], other.length
        self.keys[:, first : first + count, :, :length] = other.keys
        self.values[:, first : first + count, :, :length] = other.values


@dataclass(frozen=True)
class LmCache:
    """The KV caches of the three stacks that run over the positions of a sequence.

    The local decoder has none here: it starts anew in every step.
    """

    backbone: KvCache
    understanding_expert: KvCache
    generation_expert: KvCache

    @property
    def length(self) -> int:
        """Positions that each sequence has room for."""
        return self.backbone.length

    @property
    def sequences(self) -> int:
        """Sequences that there is room for."""
        return int(self.backbone.keys.shape[1])

    @property
    def position_bytes(self) -> int:
        """Bytes that one position of one sequence takes in all stacks."""
        whole = sum(2 * stack.keys.nbytes for stack in self._stacks)
        return whole // (self.sequences * self.length)

    @property
    def _stacks(self) -> tuple[KvCache, KvCache, KvCache]:
        return (self.backbone, self.understanding_expert, self.generation_expert)

    def first(self, count: int) -> LmCache:
        """View the first sequences."""
        return LmCache(*(stack.first(count) for stack in self._stacks))

    def resized(self, sequences: int, length: int) -> LmCache:
        """Copy the first positions of the first sequences to other room; what is new is zero."""
        return LmCache(*(stack.resized(sequences, length) for stack in self._stacks))

    def copy_sequences(self, source: Tensor, target: Tensor) -> None:
        """Copy whole sequences over others; both are ``[N]`` int64."""
        for stack in self._stacks:
            stack.copy_sequences(source, target)

    def repeated(self, copies: int) -> LmCache:
        """Copy all sequences several times, one whole set of them after the other."""
        return LmCache(*(stack.repeated(copies) for stack in self._stacks))

    def write_sequences(self, first: int, other: LmCache) -> None:
        """Copy all sequences of a shorter cache over the sequence `first` and those behind it."""
        for stack, own in zip(self._stacks, other._stacks, strict=True):
            stack.write_sequences(first, own)
