"""One frame of all rows: what is fed, and what each row chooses. Nothing here but device work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.decode_batch import FrameShape, Seated, lanes_of
from uniaudio2.lm.kv_cache import KvCache, LmCache
from uniaudio2.lm.model import LogitsOf, Pick, UniAudioLM
from uniaudio2.lm.sampling.decode_state import Rows
from uniaudio2.lm.sampling.grammar import Grammar
from uniaudio2.lm.sampling.logits_processors import guard
from uniaudio2.lm.sampling.sampling import Sampling, choose, guide
from uniaudio2.runtime.transfers import send
from uniaudio2.tokens.grid import AUDIO, COLUMNS, TEXT, TEXT_COLUMN


@dataclass(frozen=True)
class Outputs:
    """Which slots make audio and which make text.

    Attributes:
        whole: what all of them make; None if they differ.
        audio: ``[N]`` int64; None if they do not differ.
        text: ``[N]`` int64; None if they do not differ.
    """

    whole: Literal["audio", "text"] | None
    audio: Tensor | None = None
    text: Tensor | None = None

    @staticmethod
    def of(kinds: list[Literal["audio", "text"]], device: torch.device) -> Outputs:
        """Note what every slot makes."""
        if len(set(kinds)) == 1:
            return Outputs(kinds[0])

        def slots(kind: str) -> Tensor:
            those = [slot for slot, one in enumerate(kinds) if one == kind]
            return send(torch.tensor(those, dtype=torch.int64), device)

        return Outputs(None, slots("audio"), slots("text"))


@dataclass(frozen=True)
class Draft:
    """A frame that is being chosen.

    Attributes:
        rows: state of the B rows; its fields are replaced as the frame goes on.
        frame: ``[B, 9]`` int64.
        stopped: ``[B]`` bool, rows that end by themselves with this frame.
    """

    rows: Rows
    frame: Tensor
    stopped: Tensor

    @staticmethod
    def of(rows: Rows) -> Draft:
        """Nothing is chosen yet."""
        frame = rows.seed.new_zeros(len(rows.seed), COLUMNS)
        return Draft(replace(rows), frame, torch.zeros_like(rows.done))


class FrameMaker:
    """Feeds the next row of every sequence and chooses one frame for every row.

    Args:
        lm: the model.
        sampling: settings of all rows.
    """

    def __init__(self, lm: UniAudioLM, sampling: Sampling) -> None:
        self.lm, self.sampling = lm, sampling
        self.halves = 2 if sampling.guidance > 1 else 1
        self.grammar = Grammar.build(lm.config, sampling.constrained, lm.device)

    def make(self, seated: Seated, cache: LmCache, shape: FrameShape, outputs: Outputs) -> None:
        """Make a frame in place.

        Args:
            seated: the rows that `shape` names.
            cache: of their sequences.
            shape: of `Seats.shape`.
            outputs: what each row makes.
        """
        hidden = self.lm.step(
            seated.tokens, seated.kind, seated.positions, cache, shape.visible, shape.only_text
        )  # [M, D]
        draft = Draft.of(seated.rows)
        kind = torch.full_like(draft.rows.seed, AUDIO if outputs.whole == "audio" else TEXT)
        if outputs.whole != "text":
            self._fill_audio(draft, hidden, outputs.audio, seated.spelling)
        if outputs.whole != "audio":
            self._fill_text(draft, hidden, outputs.text, seated.texts())
        if outputs.audio is not None:
            kind[outputs.audio] = AUDIO
        seated.feed(draft.rows, draft.frame, kind, draft.stopped)

    def _of(self, rows: Rows, at: Tensor | None) -> Rows:
        return rows if at is None else rows.select(at)

    def _lanes(self, at: Tensor | None) -> Tensor | None:
        return None if at is None else lanes_of(at, self.halves)

    def _guided(self, logits: Tensor) -> Tensor:
        return guide(logits, self.sampling.guidance) if self.halves == 2 else logits

    def _fill_text(self, draft: Draft, hidden: Tensor, at: Tensor | None, texts: Tensor) -> None:
        rows, lanes = self._of(draft.rows, at), self._lanes(at)
        logits = self._guided(self.lm.text_head(hidden if lanes is None else hidden[lanes]))
        if self.sampling.guards_texts:
            history = texts if at is None else texts[at]
            logits = guard(logits, self.sampling, history, rows.frames)
        ids = choose(logits, self.sampling, rows.seed, rows.frames, TEXT_COLUMN)  # [B]
        where = slice(None) if at is None else at
        draft.frame[where, TEXT_COLUMN] = ids
        draft.stopped[where] = ids == self.lm.config.ids.text_eos

    def _fill_audio(
        self, draft: Draft, hidden: Tensor, at: Tensor | None, spelling: KvCache
    ) -> None:
        rows, lanes = self._of(draft.rows, at), self._lanes(at)
        own = hidden if lanes is None else hidden[lanes]
        spelled = self.lm.spell(own, self._picker(rows), spelling)
        settled = self.grammar.settle(spelled[:: self.halves], rows)  # [B, 8]
        where = slice(None) if at is None else at
        draft.stopped[where] = self.grammar.advance(settled, rows)
        draft.frame[where, :CODEBOOKS] = settled
        if at is not None:
            draft.rows.update(at, rows)

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
            return ids[:, None].expand(-1, self.halves).flatten()

        return pick
