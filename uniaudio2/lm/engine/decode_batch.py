"""The slots of an engine: every row's state, its past, and what it has chosen so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.lm.engine.prefill import Joining
from uniaudio2.lm.kv_cache import KvCache, LmCache
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.decode_state import Rows
from uniaudio2.runtime.transfers import send
from uniaudio2.tokens.grid import COLUMNS, TEXT, TEXT_COLUMN

_ROOM = 64  # rows by which caches grow, at least; and a recorded frame sees a multiple of it
_GROWTH = 1.25


def lanes_of(slots: Tensor, halves: int) -> Tensor:
    """Sequences of some slots ``[B]``, the halves of each side by side: ``[B * halves]``."""
    return (slots[:, None] * halves + torch.arange(halves, device=slots.device)).flatten()


@dataclass(frozen=True)
class Seated:
    """The memory of B rows and of their M sequences, which a frame reads and writes in place.

    Attributes:
        rows: their state.
        tokens: ``[M, 9]`` int64, the row that each sequence is fed next.
        kind: ``[M]`` uint8, what that row is.
        positions: ``[M]`` int64, where it goes.
        chosen: ``[B, F, 9]`` int64, the frames that rows have chosen.
        spelling: the local decoder's past within a frame.
    """

    rows: Rows
    tokens: Tensor
    kind: Tensor
    positions: Tensor
    chosen: Tensor
    spelling: KvCache

    @staticmethod
    def vacant(lm: UniAudioLM, slots: int, halves: int, frames: int) -> Seated:
        """Room for rows of at most `frames` frames."""
        lanes = slots * halves
        tokens = torch.zeros(lanes, COLUMNS, dtype=torch.int64, device=lm.device)
        return Seated(
            rows=Rows.vacant(slots, lm.device),
            tokens=tokens,
            kind=torch.full((lanes,), TEXT, dtype=torch.uint8, device=lm.device),
            positions=tokens.new_zeros(lanes),
            # a finished row that has not left yet goes on choosing, into the place past its end
            chosen=tokens.new_zeros(slots, frames + 1, COLUMNS),
            spelling=lm.spelling_cache(lanes),
        )

    @property
    def halves(self) -> int:
        return len(self.tokens) // len(self.chosen)

    def first(self, count: int) -> Seated:
        """The first rows, as views."""
        lanes = count * self.halves
        return Seated(
            self.rows.first(count),
            self.tokens[:lanes],
            self.kind[:lanes],
            self.positions[:lanes],
            self.chosen[:count],
            self.spelling.first(lanes),
        )

    def texts(self) -> Tensor:
        """Text ids that rows have chosen, ``[B, F]``; row b has ``rows.frames[b]``."""
        return self.chosen[:, :, TEXT_COLUMN]

    def feed(self, rows: Rows, frame: Tensor, kind: Tensor, stopped: Tensor) -> None:
        """Note the chosen frames and make them the next rows; finished rows stay where they are.

        Args:
            rows: the rows' state after the choice.
            frame: ``[B, 9]`` int64.
            kind: ``[B]``, what the frames are.
            stopped: ``[B]`` bool, rows that ended by themselves.
        """
        count, halves = len(frame), self.halves
        self.chosen[torch.arange(count, device=frame.device), rows.frames] = frame
        rows.count(stopped)
        self.rows.overwrite(rows)
        self.tokens.view(count, halves, COLUMNS).copy_(frame[:, None])
        self.kind.view(count, halves).copy_(kind[:, None])
        self.positions.view(count, halves).add_((~rows.done)[:, None])

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy rows over others; both are ``[N]`` int64."""
        before, after = lanes_of(source, self.halves), lanes_of(target, self.halves)
        self.rows.update(target, self.rows.select(source))
        for own in (self.tokens, self.kind, self.positions):
            own[after] = own[before]
        self.chosen[target] = self.chosen[source]

    def vacate(self, first: int) -> None:
        """No row is at `first` or behind it."""
        self.rows.done[first:] = True
        self.positions[first * self.halves :] = 0  # within any cache


@dataclass(frozen=True)
class FrameShape:
    """What the work of a frame depends on beside what is in memory.

    Attributes:
        rows: slots that take part, the first ones.
        visible: stored rows that attention reads.
        only_text: all that is fed is text, and no row will ever be fed audio that it chose.
        output: what all rows make; None if they differ.
    """

    rows: int
    visible: int
    only_text: bool
    output: Literal["audio", "text"] | None


class Seats:
    """Rows in the slots 0..B-1, each with one or two sequences; caches grow with what they need.

    Args:
        lm: the model.
        slots: most rows.
        halves: sequences of a row.
        frames: most frames of a row.
        kv_rows: rows of keys and values that all sequences may hold; None for no limit.
        in_place: caches have room for all that their rows may come to need, and frames have few
            shapes, so that a recorded frame can be repeated often.

    Attributes:
        seated: memory of all slots.
        moves: how often caches went to other memory.
    """

    def __init__(
        self,
        lm: UniAudioLM,
        slots: int,
        halves: int,
        frames: int,
        kv_rows: int | None = None,
        in_place: bool = False,
    ) -> None:
        self.lm, self.slots, self.halves = lm, slots, halves
        self.kv_rows, self.in_place = kv_rows, in_place
        self.seated = Seated.vacant(lm, slots, halves, frames)
        self.moves = 0
        self._cache: LmCache | None = None
        # the host knows how far rows can be without asking the device
        self._ahead: list[int] = []  # of each row: the longest of its sequences, fed row included
        self._most: list[int] = []  # of each row: how far that can come
        self._only_text: list[bool] = []  # of each row: whether the fed row is text in all halves

    def __len__(self) -> int:
        return len(self._ahead)

    @property
    def rows(self) -> Rows:
        """State of the B rows, as views."""
        return self.seated.rows.first(len(self))

    @property
    def cache(self) -> LmCache:
        """Keys and values of all sequences; there are rows."""
        assert self._cache  # noqa: S101 - made when the first row came
        return self._cache

    # ---- coming --------------------------------------------------------------------------

    def add(self, rows: Rows, limits: list[int], joining: Joining) -> None:
        """Seat rows behind those that are there.

        Args:
            rows: their state.
            limits: most frames of each.
            joining: their prompts.
        """
        tokens, kind = joining.last_rows()
        lengths = joining.lengths.view(-1, self.halves).max(dim=1).values.tolist()
        first, context = len(self), self.lm.config.context
        self._ahead += lengths
        self._most += [
            min(length + limit, context) for length, limit in zip(lengths, limits, strict=True)
        ]
        self._only_text += (kind.view(-1, self.halves) == TEXT).all(dim=1).tolist()
        self._make_room()
        lanes = slice(first * self.halves, len(self) * self.halves)
        self.cache.put(lanes.start, joining.cache)
        seated = self.seated
        seated.rows.update(slice(first, len(self)), rows)
        seated.tokens[lanes] = send(tokens, self.lm.device)
        seated.kind[lanes] = send(kind, self.lm.device)
        seated.positions[lanes] = send(joining.lengths - 1, self.lm.device)

    def _make_room(self) -> None:
        """See that the cache holds what the rows need."""
        lanes = len(self) * self.halves
        length = max(self._most if self.in_place else self._ahead)
        held = (self._cache.sequences, self._cache.length) if self._cache else (0, 0)
        if lanes <= held[0] and length <= held[1]:
            return
        shape = self._with_spare(lanes, length, held)
        self._cache = self._cache.resized(*shape) if self._cache else self.lm.new_cache(*shape)
        self.moves += 1

    def _with_spare(self, lanes: int, length: int, held: tuple[int, int]) -> tuple[int, int]:
        """Sequences and length of a cache that will last for a while, if memory allows."""
        context, all_lanes = self.lm.config.context, self.slots * self.halves
        if self.in_place:
            wider, longer = self._rounded(len(self)) * self.halves, -(-length // _ROOM) * _ROOM
        else:
            wider = round(held[0] * _GROWTH) if lanes > held[0] > 0 else lanes
            longer = max(length + _ROOM, round(length * _GROWTH) if held[1] else 0)
        wider = min(max(wider, lanes, held[0]), all_lanes)
        longer = min(longer if length > held[1] else held[1], context)
        if self.kv_rows is None or wider * longer <= self.kv_rows:
            return wider, longer
        # by `Admission` there is memory for all that these rows may come to need
        longer = max(max(self._most), min(longer, self.kv_rows // lanes))
        fitting = self.kv_rows // longer // self.halves * self.halves
        return max(lanes, min(wider, fitting)), longer

    def _rounded(self, rows: int) -> int:
        """The next power of two, if there are so many slots."""
        return min(1 << (rows - 1).bit_length(), self.slots)

    # ---- one frame -----------------------------------------------------------------------

    def shape(self, output: Literal["audio", "text"] | None) -> FrameShape:
        """The next frame's, after room was made for it.

        Args:
            output: what all rows make; None if they differ.
        """
        self._make_room()
        rows, visible = len(self), max(self._ahead)
        if self.in_place:
            rows = min(self._rounded(rows), self.cache.sequences // self.halves)
            visible = min(-(-visible // _ROOM) * _ROOM, self.cache.length)
        return FrameShape(rows, visible, output == "text" and all(self._only_text), output)

    def count_frame(self) -> None:
        """A frame was fed."""
        self._ahead = [
            min(ahead + 1, most) for ahead, most in zip(self._ahead, self._most, strict=True)
        ]
        self._only_text = [True] * len(self)

    # ---- leaving -------------------------------------------------------------------------

    def results(self, slots: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """What rows have chosen so far, on the device.

        Returns:
            ``[N, F, 9]``, how many frames of each it is ``[N]``, and whether a limit cut or
            switched it ``[N]``.
        """
        at, seated = self._slots(slots), self.seated
        return seated.chosen[at], seated.rows.frames[at], seated.rows.limited[at]

    def close_gaps(self, done: set[int]) -> list[int]:
        """Drop the rows in some slots; the last ones move there.

        Returns:
            for every slot that is left, the slot in which its row was.
        """
        live = [slot for slot in range(len(self)) if slot not in done]
        gaps = [slot for slot in sorted(done) if slot < len(live)]
        movers = [slot for slot in live if slot >= len(live)]
        kept = list(range(len(live)))
        for gap, mover in zip(gaps, movers, strict=True):
            kept[gap] = mover
        if movers:
            source, target = self._slots(movers), self._slots(gaps)
            self.cache.move(lanes_of(source, self.halves), lanes_of(target, self.halves))
            self.seated.move(source, target)
        self.seated.vacate(len(kept))
        self._ahead = [self._ahead[slot] for slot in kept]
        self._most = [self._most[slot] for slot in kept]
        self._only_text = [self._only_text[slot] for slot in kept]
        return kept

    def _slots(self, slots: list[int]) -> Tensor:
        return send(torch.tensor(slots, dtype=torch.int64), self.lm.device)
