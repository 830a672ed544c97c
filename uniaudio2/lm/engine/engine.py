"""Continuous batching: a fixed number of slots; rows join and leave between two frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from uniaudio2.lm.engine.admission import Admission
from uniaudio2.lm.engine.async_copies import LateReads, lag_on
from uniaudio2.lm.engine.decode_batch import Seats
from uniaudio2.lm.engine.decode_step import FrameMaker, Outputs
from uniaudio2.lm.engine.limits import row_limit
from uniaudio2.lm.engine.occupancy import Occupancy
from uniaudio2.lm.engine.prefill import Joining, PrefixShelf
from uniaudio2.lm.engine.request import Generated, Request
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.decode_state import Rows
from uniaudio2.lm.sampling.grammar import phases_of
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import Recorder, Recordings
from uniaudio2.tokens.grid import Prompt, unconditional


@dataclass(frozen=True)
class _Asked:
    """A request in the queue, joining, or in a slot.

    Attributes:
        ticket: names it.
        request: what to answer.
        limit: most frames of the answer.
    """

    ticket: int
    request: Request
    limit: int


class Engine:
    """Answers requests in any number, `slots` at a time.

    Under guidance every row runs twice: its conditional sequence, and its blank one right
    behind. What a row answers depends on its request and the settings alone: its draws come from
    its own seed, and the rows beside it change nothing but the rounding of floating point sums.

    Args:
        lm: the model, on its device.
        sampling: settings of all rows.
        slots: rows that are decoded together, at least 1.
        prefill_rows: prompt rows that are run between two frames, about.
        prefix: rows that most prompts begin with, computed once; None looks for what prompts
            share.
        kv_rows: see `Admission`; rows beyond it wait, whatever slots are free.
        recorder: has frames of one shape recorded and repeated, where all rows make the same;
            memory is then kept while the engine is idle. None hands over every operation.
        lag: see `LateReads`; a finished row keeps its slot for so many frames more. None suits
            the device.

    Raises:
        ValueError: the settings do not suit the model, or there are no slots.
    """

    def __init__(
        self,
        lm: UniAudioLM,
        sampling: Sampling,
        slots: int,
        prefill_rows: int = 4096,
        prefix: Prompt | None = None,
        kv_rows: int | None = None,
        recorder: Recorder | None = None,
        lag: int | None = None,
    ) -> None:
        sampling.check_fits(lm.config)
        if slots < 1:
            raise ValueError(f"{slots} slots cannot hold a row; give at least 1")
        self.lm, self.sampling, self.slots = lm, sampling, slots
        self.prefill_rows = prefill_rows
        self.maker = FrameMaker(lm, sampling)
        self.halves = self.maker.halves
        self.admission = Admission.on(lm.device, slots, self.halves, kv_rows)
        self.recordings = Recordings(recorder)
        self.keeps_memory = recorder is not None
        first = [prefix, unconditional(prefix, lm.config)][: self.halves] if prefix else None
        self.shelf = PrefixShelf(lm, self.halves, first)
        self.queue: deque[_Asked] = deque()
        self.coming: list[_Asked] = []
        self.live: list[_Asked] = []
        self.joining: Joining | None = None
        self.occupancy = Occupancy(slots)
        self._answers: dict[int, Generated] = {}
        self._begun: set[int] = set()  # tickets that have left the queue and have no answer yet
        self._cancelled: set[int] = set()
        self._tickets = 0
        lag = lag_on(lm.device) if lag is None else lag
        self._flags: LateReads[list[int]] = LateReads(lag)
        self._results: LateReads[list[_Asked]] = LateReads(lag)
        self._empty()

    # ---- what a caller does --------------------------------------------------------------

    def submit(self, request: Request) -> int:
        """Ask for an answer; returns the ticket under which `take` will give it.

        Raises:
            ValueError: prompt and answer do not fit into the context.
        """
        limit = row_limit(request, self.sampling, self.lm.config)
        self._tickets += 1
        self.queue.append(_Asked(self._tickets, request, limit))
        return self._tickets

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, joins, runs or is on its way."""
        return not (self.queue or self.coming or self.live or len(self._results))

    def take(self) -> dict[int, Generated]:
        """Answers finished since the last call, by ticket."""
        taken, self._answers = self._answers, {}
        return taken

    @torch.inference_mode()
    def cancel(self, ticket: int) -> None:
        """Forget a request, wherever it is; its slot is free after the next frame that is read."""
        self.queue = deque(asked for asked in self.queue if asked.ticket != ticket)
        self._answers.pop(ticket, None)
        if ticket in self._begun:
            self._cancelled.add(ticket)
            self._mark_cancelled()

    def _mark_cancelled(self) -> None:
        for slot, asked in enumerate(self.live):
            if asked.ticket in self._cancelled:
                self.seats.rows.done[slot] = True

    @torch.inference_mode()
    def step(self) -> None:
        """Prefill a piece for rows that come, and choose one frame for every row that is there."""
        self._join()
        if self.live:
            self._frame()
            self._release()
        self._deliver()

    # ---- joining -------------------------------------------------------------------------

    def _empty(self) -> None:
        """No row is left: give memory back."""
        frames = min(self.sampling.max_frames, self.lm.config.context + 1)
        self.seats = Seats(
            self.lm, self.slots, self.halves, frames, self.admission.kv_rows, self.keeps_memory
        )

    def _join(self) -> None:
        if self.joining is None:
            if self.admission.is_time(len(self.live), len(self.queue)):
                self.coming = self._next_group()
            if not self.coming:
                return
            self._begun.update(asked.ticket for asked in self.coming)
            prompts = [half for asked in self.coming for half in self._halves_of(asked.request)]
            self.joining = Joining(self.lm, prompts, self.shelf)
        self.joining.advance(self.prefill_rows)
        if self.joining.is_done:
            self._seat(self.joining)
            self.joining = None

    def _next_group(self) -> list[_Asked]:
        """Waiting requests that are admitted and whose padded prompts stay within bounds."""
        group: list[_Asked] = []
        there = [self._length(asked.request) + asked.limit for asked in self.live]
        longest = 0
        while self.queue:
            asked = self.queue[0]
            length = self._length(asked.request)
            longest, there = max(longest, length), [*there, length + asked.limit]
            padded = longest * self.halves * (len(group) + 1)
            if not self.admission.admits(there) or (group and padded > self.prefill_rows):
                break
            group.append(self.queue.popleft())
        return group

    def _length(self, request: Request) -> int:
        """Rows of the longer half; blanking a prompt does not change its length."""
        other = request.unconditional if self.halves == 2 else None
        return max(len(request.prompt), len(other or request.prompt))

    def _halves_of(self, request: Request) -> list[Prompt]:
        if self.halves == 1:
            return [request.prompt]
        blank = request.unconditional or unconditional(request.prompt, self.lm.config)
        return [request.prompt, blank]

    def _seat(self, joining: Joining) -> None:
        limits = [asked.limit for asked in self.coming]
        rows = Rows.start(
            [asked.request.seed for asked in self.coming],
            limits,
            [
                phases_of(asked.request.answer, self.sampling.reason_limit, asked.limit)
                for asked in self.coming
            ],
            self.lm.device,
        )
        self.seats.add(rows, limits, joining)
        self.live += self.coming
        self.coming = []
        self._mark_cancelled()
        self._set_outputs()

    def _set_outputs(self) -> None:
        outputs = [asked.request.output for asked in self.live]
        self._outputs = Outputs.of(outputs, self.lm.device)

    # ---- one frame -----------------------------------------------------------------------

    def _frame(self) -> None:
        seats, outputs = self.seats, self._outputs
        shape = seats.shape(outputs.whole)
        cache = seats.cache.first(shape.rows * self.halves)
        seated = seats.seated.first(shape.rows)

        def work() -> None:
            self.maker.make(seated, cache, shape, outputs)

        if outputs.whole:
            self.recordings.run(shape, seats.moves, work)
        else:
            work()  # which slots make what changes with every row that comes or goes
        seats.count_frame()
        self._flags.note([asked.ticket for asked in self.live], seats.rows.done)
        if self.queue:
            self.occupancy.frames += 1
            self.occupancy.rows += len(self.live)

    # ---- leaving -------------------------------------------------------------------------

    def _release(self) -> None:
        """Let rows go that are known to be done, and close the gaps that they leave."""
        for tickets, (flags,) in self._flags.due():
            done = {ticket for ticket, flag in zip(tickets, flags.tolist(), strict=True) if flag}
            slots = [slot for slot, asked in enumerate(self.live) if asked.ticket in done]
            if slots:
                self._take_out(slots)

    def _take_out(self, slots: list[int]) -> None:
        leaving = [self.live[slot] for slot in slots]
        self._results.note(leaving, *self.seats.results(slots))
        kept = self.seats.close_gaps(set(slots))
        self.live = [self.live[slot] for slot in kept]
        if self.live:
            self._set_outputs()
        elif not self.keeps_memory:
            self._empty()

    def _deliver(self) -> None:
        """Turn what rows have chosen into answers, once it has come from the device."""
        for leaving, parts in self._results.due(everything=not self.live):
            for asked, chosen, frames, limited in zip(leaving, *parts, strict=True):
                self._begun.remove(asked.ticket)
                if asked.ticket in self._cancelled:
                    self._cancelled.remove(asked.ticket)
                    continue
                self._answers[asked.ticket] = Generated.of_rows(
                    chosen[: int(frames)],
                    asked.request.output,
                    bool(limited),
                    self.lm.config,
                    asked.request.answer,
                )
