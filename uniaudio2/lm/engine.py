"""Continuous batching: a fixed number of slots; rows join and leave between two frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS
from uniaudio2.frames import AUDIO, COLUMNS, TEXT, TEXT_COLUMN, Prompt, unconditional
from uniaudio2.lm.admission import Admission
from uniaudio2.lm.grammar import Grammar, phases_of
from uniaudio2.lm.guards import guard
from uniaudio2.lm.joining import Joining, PrefixShelf
from uniaudio2.lm.limits import row_limit
from uniaudio2.lm.model import LogitsOf, Pick, UniAudioLM
from uniaudio2.lm.occupancy import Occupancy
from uniaudio2.lm.request import Generated, Request
from uniaudio2.lm.rows import Rows
from uniaudio2.lm.sampling import Sampling, choose, guide
from uniaudio2.lm.seats import Seats, lanes_of

_READ_EVERY_ON_GPU = 8


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
    ) -> None:
        sampling.check_fits(lm.config)
        if slots < 1:
            raise ValueError(f"{slots} slots cannot hold a row; give at least 1")
        self.lm, self.sampling, self.slots = lm, sampling, slots
        self.prefill_rows = prefill_rows
        self.halves = 2 if sampling.guidance > 1 else 1
        self.admission = Admission(slots, self.halves, kv_rows)
        self.read_every = _READ_EVERY_ON_GPU if lm.device.type == "cuda" else 1
        self.grammar = Grammar.build(lm.config, sampling.constrained, lm.device)
        first = [prefix, unconditional(prefix, lm.config)][: self.halves] if prefix else None
        self.shelf = PrefixShelf(lm, self.halves, first)
        self.queue: deque[_Asked] = deque()
        self.coming: list[_Asked] = []
        self.live: list[_Asked] = []
        self.joining: Joining | None = None
        self.occupancy = Occupancy(slots)
        self._answers: dict[int, Generated] = {}
        self._cancelled: set[int] = set()
        self._tickets = self._frames = 0
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
        """Whether nothing waits, joins or runs."""
        return not (self.queue or self.coming or self.live)

    def take(self) -> dict[int, Generated]:
        """Answers finished since the last call, by ticket."""
        taken, self._answers = self._answers, {}
        return taken

    @torch.inference_mode()
    def cancel(self, ticket: int) -> None:
        """Forget a request, wherever it is; its slot is free after the next frame that is read."""
        self.queue = deque(asked for asked in self.queue if asked.ticket != ticket)
        self._answers.pop(ticket, None)
        if any(asked.ticket == ticket for asked in self.coming + self.live):
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
            if self._frames % self.read_every == 0:
                self._release()

    # ---- joining -------------------------------------------------------------------------

    def _empty(self) -> None:
        """No row is left: give memory back."""
        self.seats = Seats(self.lm, self.slots, self.halves)
        self._members: tuple[Tensor | None, Tensor | None] = (None, None)

    def _join(self) -> None:
        if self.joining is None:
            self.coming = self._next_group()
            if not self.coming:
                return
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
        self.seats.add(rows, joining)
        self.live += self.coming
        self.coming = []
        self._mark_cancelled()
        self._regroup()

    def _regroup(self) -> None:
        """Note which slots make audio and which make text; None stands for all of them."""
        kinds = [asked.request.output for asked in self.live]

        def of(kind: str) -> Tensor | None:
            if all(one == kind for one in kinds):
                return None
            return torch.tensor(
                [slot for slot, one in enumerate(kinds) if one == kind],
                dtype=torch.int64,
                device=self.lm.device,
            )

        self._members = (of("audio"), of("text"))

    # ---- one frame -----------------------------------------------------------------------

    def _frame(self) -> None:
        seats, is_text = self.seats, all(asked.request.output == "text" for asked in self.live)
        hidden = seats.run(only_text=is_text)  # [M, D]
        rows = seats.rows
        frame = torch.zeros(len(self.live), COLUMNS, dtype=torch.int64, device=hidden.device)
        stopped = torch.zeros_like(rows.done)
        audio, text = self._members
        if audio is None or len(audio):
            self._fill_audio(frame, stopped, hidden, audio)
        if text is None or len(text):
            self._fill_text(frame, stopped, hidden, text)
        kind = torch.full_like(rows.seed, AUDIO if audio is None else TEXT)
        if audio is not None and text is not None:
            kind[audio] = AUDIO
        seats.feed(frame, kind, stopped)
        self._frames += 1
        if self.queue:
            self.occupancy.frames += 1
            self.occupancy.rows += len(self.live)

    def _of(self, rows: Rows, at: Tensor | None) -> Rows:
        return rows if at is None else rows.select(at)

    def _lanes(self, at: Tensor | None) -> Tensor | None:
        return None if at is None else lanes_of(at, self.halves)

    def _guided(self, logits: Tensor) -> Tensor:
        return guide(logits, self.sampling.guidance) if self.halves == 2 else logits

    def _fill_text(self, frame: Tensor, stopped: Tensor, hidden: Tensor, at: Tensor | None) -> None:
        rows, lanes = self._of(self.seats.rows, at), self._lanes(at)
        logits = self._guided(self.lm.text_head(hidden if lanes is None else hidden[lanes]))
        if self.sampling.guards_texts:
            texts = self.seats.texts()
            logits = guard(logits, self.sampling, texts if at is None else texts[at], rows.frames)
        ids = choose(logits, self.sampling, rows.seed, rows.frames, TEXT_COLUMN)  # [B]
        where = slice(None) if at is None else at
        frame[where, TEXT_COLUMN] = ids
        stopped[where] = ids == self.lm.config.ids.text_eos

    def _fill_audio(
        self, frame: Tensor, stopped: Tensor, hidden: Tensor, at: Tensor | None
    ) -> None:
        rows, lanes = self._of(self.seats.rows, at), self._lanes(at)
        own = hidden if lanes is None else hidden[lanes]
        spelled = self.lm.spell(own, self._picker(rows), self.seats.spelling)
        settled = self.grammar.settle(spelled[:: self.halves], rows)  # [B, 8]
        where = slice(None) if at is None else at
        stopped[where] = self.grammar.advance(settled, rows)
        frame[where, :CODEBOOKS] = settled
        if at is not None:
            self.seats.rows.update(at, rows)

    def _picker(self, rows: Rows) -> Pick:
        """Chooses ids of a codebook for audio rows, span by span."""
        spans = [
            (span, self._of(rows, span.rows), self._lanes(span.rows))
            for span in self.grammar.spans(rows)
        ]

        def pick(column: int, logits_of: LogitsOf) -> Tensor:
            ids = torch.empty_like(rows.seed)
            for span, own, lanes in spans:
                logits = self._guided(logits_of(lanes, span.first, span.stop))
                allowed = self.grammar.allowed(column, own, span)
                chosen = choose(
                    logits, self.sampling, own.seed, own.frames, column, allowed, span.first
                )
                ids[slice(None) if span.rows is None else span.rows] = chosen
            return ids.repeat_interleave(self.halves)

        return pick

    # ---- leaving -------------------------------------------------------------------------

    def _release(self) -> None:
        """Read the rows that are done, and close the gaps that they leave."""
        done: list[bool] = self.seats.rows.done.tolist()
        if not any(done):
            return
        for slot, asked in enumerate(self.live):
            if done[slot] and asked.ticket in self._cancelled:
                self._cancelled.remove(asked.ticket)
            elif done[slot]:
                chosen, limited = self.seats.chosen_by(slot)
                self._answers[asked.ticket] = Generated.of_rows(
                    chosen, asked.request.output, limited, self.lm.config, asked.request.answer
                )
        kept = self.seats.close_gaps(done)
        self.live = [self.live[slot] for slot in kept]
        if self.live:
            self._regroup()
        else:
            self._empty()
