"""Keys and values of past rows: memory only; which row sits where is the caller's business."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.config import StackConfig


@dataclass(frozen=True)
class Place:
    """Where the next row of every sequence is stored and which stored rows it attends to.

    Attributes:
        where: position of the new row, ``[B]`` int64, or one number for all sequences.
        visible: stored rows that attention reads, a bound on ``where + 1``.
        mask: ``[B, 1, 1, visible]`` bool, False beyond a sequence's own position; None when
            every sequence sees all visible rows.
    """

    where: Tensor | int
    visible: int
    mask: Tensor | None

    @staticmethod
    def per_row(positions: Tensor, visible: int) -> Place:
        """Sequences of different lengths: `positions` is ``[B]`` int64."""
        stored = torch.arange(visible, device=positions.device)
        mask = stored <= positions[:, None]  # [B, visible]
        return Place(positions, visible, mask[:, None, None])

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
    def allocate(stack: StackConfig, batch: int, length: int, like: Tensor) -> KvCache:
        """Make room for `length` rows of `batch` sequences, in the dtype and device of `like`.

        The memory is zeroed: rows that a mask hides must still be finite, and a zero row is
        what an expert stores for text that precedes all audio.
        """
        shape = (stack.layers, batch, stack.kv_groups, length, stack.head_dim)
        return KvCache(like.new_zeros(shape), like.new_zeros(shape))

    def fill(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store rows ``0 .. T-1`` of every sequence; both are ``[B, groups, T, head]``."""
        length = keys.shape[2]
        self.keys[layer, :, :, :length] = keys
        self.values[layer, :, :, :length] = values

    def append(
        self, layer: int, keys: Tensor, values: Tensor, place: Place
    ) -> tuple[Tensor, Tensor]:
        """Store one row ``[B, groups, 1, head]`` a sequence and return all that it may see.

        Returns:
            Keys and values ``[B, groups, visible, head]``, views of the cache.
        """
        rows = slice(None) if isinstance(place.where, int) else self._every_row()
        self.keys[layer][rows, :, place.where] = keys[:, :, 0]
        self.values[layer][rows, :, place.where] = values[:, :, 0]
        seen = slice(place.visible)
        return self.keys[layer, :, :, seen], self.values[layer, :, :, seen]

    def select(self, rows: Tensor) -> KvCache:
        """Keep the sequences named by `rows` ``[B']`` int64, in that order."""
        return KvCache(self.keys.index_select(1, rows), self.values.index_select(1, rows))

    def _every_row(self) -> Tensor:
        return torch.arange(self.keys.shape[1], device=self.keys.device)


@dataclass(frozen=True)
class LmCache:
    """The pasts of the three stacks that run over the row sequence.

    The local decoder has none here: it starts anew in every frame.
    """

    backbone: KvCache
    understanding_expert: KvCache
    generation_expert: KvCache

    def select(self, rows: Tensor) -> LmCache:
        """Keep the sequences named by `rows` ``[B']`` int64, in that order."""
        return LmCache(
            self.backbone.select(rows),
            self.understanding_expert.select(rows),
            self.generation_expert.select(rows),
        )
