"""Keys and values of past rows: memory only; which row sits where is the caller's business."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from uniaudio2.config import StackConfig


@dataclass(frozen=True)
class Place:
    """Where the next row of every sequence is stored and which stored rows it attends to.

    Attributes:
        where: position of the new row, ``[B]`` int64, or one number for all sequences.
        visible: stored rows that attention reads, a bound on ``where + 1``.
        mask: ``[B, 1, 1, visible]``, added to scores: minus infinity beyond a sequence's own
            position, else 0; None when every sequence sees all visible rows.
        sequences: the index of all sequences, ``[B]`` int64; None where one position serves all.
    """

    where: Tensor | int
    visible: int
    mask: Tensor | None
    sequences: Tensor | None = None

    @staticmethod
    def per_row(positions: Tensor, visible: int, dtype: torch.dtype = torch.float32) -> Place:
        """Sequences of different lengths: `positions` is ``[B]`` int64, `dtype` the queries'."""
        stored = torch.arange(visible, device=positions.device)
        is_hidden = (stored > positions[:, None])[:, None, None]  # [B, 1, 1, visible]
        # made once a frame: attention would make the same of a bool mask in every layer
        mask = torch.zeros_like(is_hidden, dtype=dtype).masked_fill_(is_hidden, -math.inf)
        return Place(positions, visible, mask, torch.arange(len(positions), device=stored.device))

    @staticmethod
    def shared(position: int) -> Place:
        """All sequences are at the same position."""
        return Place(position, position + 1, None)

    def rows_of(self, table: Tensor) -> Tensor:
        """Pick the rows of a position table ``[P, head]``, broadcastable to ``[B, H, 1, head]``."""
        if isinstance(self.where, int):
            return table[self.where]
        return table[self.where][:, None, None]


@dataclass(frozen=True)
class KvCache:
    """The past of one stack.

    Attributes:
        keys: ``[layers, B, groups, L, head]``, rotated.
        values: ``[layers, B, groups, L, head]``.
    """

    keys: Tensor
    values: Tensor

    @staticmethod
    def allocate(
        stack: StackConfig, batch: int, length: int, like: Tensor, zeroed: bool = True
    ) -> KvCache:
        """Make room for `length` rows of `batch` sequences, in the dtype and device of `like`.

        Args:
            stack: sizes.
            batch: sequences.
            length: rows of each.
            like: any tensor.
            zeroed: rows that a mask hides must still be finite, and a zero row is what an expert
                stores for text that precedes all audio. Where every row is stored before it is
                seen, False spares the writing.
        """
        shape = (stack.layers, batch, stack.kv_groups, length, stack.head_dim)
        make = like.new_zeros if zeroed else like.new_empty
        return KvCache(make(shape), make(shape))

    def fill(
        self, layer: int, keys: Tensor, values: Tensor, start: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Store T rows ``[B, groups, T, head]`` of every sequence from `start` on.

        Returns:
            Keys and values of all rows so far, ``[B, groups, start + T, head]``.
        """
        stop = start + keys.shape[2]
        self.keys[layer, :, :, start:stop] = keys
        self.values[layer, :, :, start:stop] = values
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def append(
        self, layer: int, keys: Tensor, values: Tensor, place: Place
    ) -> tuple[Tensor, Tensor]:
        """Store one row ``[B, groups, 1, head]`` a sequence and return all that it may see.

        Returns:
            Keys and values ``[B, groups, visible, head]``, views of the cache.
        """
        rows = slice(None) if place.sequences is None else place.sequences
        self.keys[layer][rows, :, place.where] = keys[:, :, 0]
        self.values[layer][rows, :, place.where] = values[:, :, 0]
        seen = slice(place.visible)
        return self.keys[layer, :, :, seen], self.values[layer, :, :, seen]

    @property
    def length(self) -> int:
        return self.keys.shape[3]

    def first(self, count: int) -> KvCache:
        """The first sequences, as a view."""
        return KvCache(self.keys[:, :count], self.values[:, :count])

    def resized(self, sequences: int, length: int) -> KvCache:
        """The first rows of the first sequences with other room; what is new is zero."""
        more = (0, 0, 0, length - self.length, 0, 0, 0, sequences - self.keys.shape[1])
        return KvCache(F.pad(self.keys, more), F.pad(self.values, more))

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy whole sequences over others; both are ``[N]`` int64."""
        self.keys[:, target] = self.keys[:, source]
        self.values[:, target] = self.values[:, source]

    def repeated(self, copies: int) -> KvCache:
        """All sequences, one whole set of them after the other."""
        return KvCache(self.keys.repeat(1, copies, 1, 1, 1), self.values.repeat(1, copies, 1, 1, 1))

    def put(self, first: int, other: KvCache) -> None:
        """Copy the rows of all sequences of a shorter cache to `first` and those behind it."""
        count, length = other.keys.shape[1], other.length
        self.keys[:, first : first + count, :, :length] = other.keys
        self.values[:, first : first + count, :, :length] = other.values


@dataclass(frozen=True)
class LmCache:
    """The pasts of the three stacks that run over the row sequence.

    The local decoder has none here: it starts anew in every frame.
    """

    backbone: KvCache
    understanding_expert: KvCache
    generation_expert: KvCache

    @property
    def length(self) -> int:
        return self.backbone.length

    @property
    def sequences(self) -> int:
        return int(self.backbone.keys.shape[1])

    @property
    def row_bytes(self) -> int:
        """Bytes that one row of one sequence takes in all stacks."""
        whole = sum(2 * stack.keys.nbytes for stack in self._stacks)
        return whole // (self.sequences * self.length)

    @property
    def _stacks(self) -> tuple[KvCache, KvCache, KvCache]:
        return (self.backbone, self.understanding_expert, self.generation_expert)

    def first(self, count: int) -> LmCache:
        """The first sequences, as a view."""
        return LmCache(*(stack.first(count) for stack in self._stacks))

    def resized(self, sequences: int, length: int) -> LmCache:
        """The first rows of the first sequences with other room; what is new is zero."""
        return LmCache(*(stack.resized(sequences, length) for stack in self._stacks))

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy whole sequences over others; both are ``[N]`` int64."""
        for stack in self._stacks:
            stack.move(source, target)

    def repeated(self, copies: int) -> LmCache:
        """All sequences, one whole set of them after the other."""
        return LmCache(*(stack.repeated(copies) for stack in self._stacks))

    def put(self, first: int, other: LmCache) -> None:
        """Copy the rows of all sequences of a shorter cache to `first` and those behind it."""
        for stack, own in zip(self._stacks, other._stacks, strict=True):
            stack.put(first, own)
