"""The slots of an engine: every row's state, its past, and what it has chosen so far."""

from __future__ import annotations

import torch
from torch import Tensor

from uniaudio2.frames import COLUMNS, TEXT, TEXT_COLUMN
from uniaudio2.lm.cache import KvCache, LmCache
from uniaudio2.lm.joining import Joining
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.rows import Rows

_ROOM = 64  # rows by which caches grow, at least
_GROWTH = 1.25


def lanes_of(slots: Tensor, halves: int) -> Tensor:
    """Sequences of some slots ``[B]``, the halves of each side by side: ``[B * halves]``."""
    return (slots[:, None] * halves + torch.arange(halves, device=slots.device)).flatten()


class Seats:
    """Rows in the slots 0..B-1, each with one or two sequences; memory grows with what they need.

    Args:
        lm: the model.
        slots: most rows.
        halves: sequences of a row.

    Attributes:
        rows: state of the B rows; like the tensors below, not set before the first were added.
        tokens: ``[M, 9]`` int64, the row that each of the M sequences is fed next.
        kind: ``[M]`` uint8, what that row is.
        positions: ``[M]`` int64, where it goes.
        chosen: ``[slots, F, 9]`` int64, the frames that rows have chosen.
    """

    def __init__(self, lm: UniAudioLM, slots: int, halves: int) -> None:
        self.lm, self.slots, self.halves = lm, slots, halves
        self.rows: Rows
        self.tokens: Tensor
        self.kind: Tensor
        self.positions: Tensor
        self.chosen: Tensor
        self._cache: LmCache | None = None
        self._spelling: KvCache | None = None
        self._count = 0
        # the host knows how far rows can be without asking the device
        self._ahead: list[int] = []  # of each row: the longest of its sequences, fed row included
        self._frames: list[int] = []  # of each row: how many it has chosen
        self._only_text: list[bool] = []  # of each row: whether the fed row is text in all halves

    @property
    def spelling(self) -> KvCache:
        """The local decoder's past within a frame, the same memory for every frame."""
        if self._spelling is None:
            self._spelling = self.lm.spelling_cache(self.slots * self.halves)
        return self._spelling

    # ---- coming --------------------------------------------------------------------------

    def add(self, rows: Rows, joining: Joining) -> None:
        """Seat rows behind those that are there."""
        tokens, kind = (part.to(self.lm.device) for part in joining.last_rows())
        positions = (joining.lengths - 1).to(self.lm.device)
        lengths = joining.lengths.view(-1, self.halves)
        fed = joining.last_rows()[1].view(-1, self.halves)
        self._ahead += lengths.max(dim=1).values.tolist()
        self._frames += [0] * len(lengths)
        self._only_text += (fed == TEXT).all(dim=1).tolist()
        if self._count:
            self.rows = self.rows.join(rows)
            self.tokens = torch.cat([self.tokens, tokens])
            self.kind = torch.cat([self.kind, kind])
            self.positions = torch.cat([self.positions, positions])
        else:
            self.rows, self.tokens, self.kind, self.positions = rows, tokens, kind, positions
            self.chosen = tokens.new_zeros(self.slots, _ROOM, COLUMNS)
        self._grow(max(self._ahead), len(self._ahead))
        assert self._cache  # noqa: S101 - _grow made it
        self._cache.put(self._count * self.halves, joining.cache)
        self._count = len(self._ahead)

    def _grow(self, length: int, rows: int) -> None:
        """Make room for the sequences of `rows` rows, of `length` rows of the cache each."""
        context, lanes = self.lm.config.context, rows * self.halves
        if self._cache is None:
            self._cache = self.lm.new_cache(lanes, min(length + _ROOM, context))
            return
        longer, wider = self._cache.length, self._cache.sequences
        if length > longer:
            longer = min(max(length + _ROOM, round(length * _GROWTH)), context)
        if lanes > wider:
            wider = min(max(lanes, round(wider * _GROWTH)), self.slots * self.halves)
        if (longer, wider) != (self._cache.length, self._cache.sequences):
            self._cache = self._cache.larger(wider, longer)

    # ---- one frame -----------------------------------------------------------------------

    def run(self, only_text: bool) -> Tensor:
        """Feed the next row of every sequence: ``[M, D]`` of `UniAudioLM.step`.

        Args:
            only_text: no row will ever be fed audio that it chose.
        """
        visible = max(self._ahead)
        self._grow(visible, self._count)
        assert self._cache  # noqa: S101 - made when the first row came
        return self.lm.step(
            self.tokens,
            self.kind,
            self.positions,
            self._cache.first(self._count * self.halves),
            visible,
            only_text and all(self._only_text),
        )

    def feed(self, frame: Tensor, kind: Tensor, stopped: Tensor) -> None:
        """Note the chosen frames and make them the next rows; finished rows stay where they are.

        Args:
            frame: ``[B, 9]`` int64.
            kind: ``[B]``, what the frames are.
            stopped: ``[B]`` bool, rows that ended by themselves.
        """
        self._frames = [frames + 1 for frames in self._frames]
        if max(self._frames) >= self.chosen.shape[1]:
            more = self.chosen.new_zeros(self.slots, self.chosen.shape[1], COLUMNS)
            self.chosen = torch.cat([self.chosen, more], dim=1)
        every = torch.arange(self._count, device=frame.device)
        # a finished row that has not left yet goes on choosing, into the place past its end
        self.chosen[every, self.rows.frames] = frame
        self.rows.count(stopped)
        self.tokens = frame.repeat_interleave(self.halves, dim=0)
        self.kind = kind.to(self.kind.dtype).repeat_interleave(self.halves)
        self.positions = self.positions + (~self.rows.done).repeat_interleave(self.halves)
        context = self.lm.config.context
        self._ahead = [min(ahead + 1, context) for ahead in self._ahead]
        self._only_text = [True] * self._count

    def texts(self) -> Tensor:
        """Text ids that the B rows have chosen, ``[B, F]``; row b has ``rows.frames[b]``."""
        return self.chosen[: self._count, : max(self._frames), TEXT_COLUMN]

    # ---- leaving -------------------------------------------------------------------------

    def chosen_by(self, slot: int) -> tuple[Tensor, bool]:
        """What a row has chosen, ``[F, 9]``, and whether a limit cut or switched it."""
        frames = int(self.rows.frames[slot])
        return self.chosen[slot, :frames].clone(), bool(self.rows.limited[slot])

    def close_gaps(self, done: list[bool]) -> list[int]:
        """Drop finished rows; the last ones move into their slots.

        Returns:
            for every slot that is left, the slot in which its row was.
        """
        live = [slot for slot, is_done in enumerate(done) if not is_done]
        gaps = [slot for slot, is_done in enumerate(done) if is_done and slot < len(live)]
        movers = [slot for slot in live if slot >= len(live)]
        kept = list(range(len(live)))
        for gap, mover in zip(gaps, movers, strict=True):
            kept[gap] = mover
        if movers:
            assert self._cache  # noqa: S101 - there are rows
            source, target = self._slots(movers), self._slots(gaps)
            self._cache.move(lanes_of(source, self.halves), lanes_of(target, self.halves))
            self.chosen[target] = self.chosen[source]
        slots = self._slots(kept)
        lanes = lanes_of(slots, self.halves)
        self.rows = self.rows.select(slots)
        self.tokens, self.kind = self.tokens[lanes], self.kind[lanes]
        self.positions = self.positions[lanes]
        self._ahead = [self._ahead[slot] for slot in kept]
        self._frames = [self._frames[slot] for slot in kept]
        self._only_text = [self._only_text[slot] for slot in kept]
        self._count = len(kept)
        return kept

    def _slots(self, slots: list[int]) -> Tensor:
        return torch.tensor(slots, dtype=torch.int64, device=self.tokens.device)
