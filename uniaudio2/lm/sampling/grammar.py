"""Which audio frames may follow which: the phases of an answer and their marker frames.

The answer of most tasks is: reason bos, reasoning frames, reason eos, semantic bos,
reconstruction frames, semantic eos; a marker frame holds its id in all eight codebooks. Where
several sounds are asked for, they follow one another; where one stream is, the other is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.lm.sampling.decode_state import REASON, SEMANTIC, Phases, Rows
from uniaudio2.runtime.cuda_graphs import may_wait
from uniaudio2.tokens.codes import Stream

_REASON_SHARE = (2, 7)  # 5 Hz of reasoning for 12.5 Hz of reconstruction: 5 / 17.5


def shortest_answer(answer: tuple[Stream, ...]) -> int:
    """Frames of the shortest answer that holds all streams: bos and a frame of each, and eos
    between them."""
    return 3 * len(answer) - 1


def phases_of(answer: tuple[Stream, ...], asked: int | None, max_frames: int) -> Phases:
    """The phases of an answer, each limited so that all that follows still fits.

    Args:
        answer: the streams that are asked for.
        asked: `Sampling.reason_limit`.
        max_frames: frames that the row has in all, markers included.

    Returns:
        The reasoning limit is what was asked for, or else its share of an answer that fills
        `max_frames`; never so much that no reconstruction frame would fit. Several sounds get
        equal parts.
    """
    sounds = max(len(answer) // 2, 1)
    frames = (max_frames - 2 * len(answer) + 1) // sounds  # of one sound, without markers
    share, whole = _REASON_SHARE
    room = frames - 1
    wanted = asked if asked is not None else room * share // whole
    reason = max(1, min(wanted, room))
    first = REASON if answer[0] == "reason" else SEMANTIC
    return Phases(first, len(answer), reason, max(1, frames - reason))


@dataclass(frozen=True)
class Span:
    """Rows (int64 indices, None for all) of one phase (None: of any) and the ids ``first`` to
    before ``stop`` that they may reach."""

    rows: Tensor | None
    phase: int | None
    first: int
    stop: int


@dataclass(frozen=True)
class Grammar:
    """The rules on a device, phase by phase (0 reason, 1 semantic).

    Attributes:
        bos: ``[2]`` int64 joint ids.
        eos: ``[2]`` int64 joint ids.
        codes: ``[2, A]`` bool: ids that a codebook may take.
        card: first id of the semantic phase.
        constrained: frames are whole markers or decodable codes; otherwise the published rule,
            which only forbids the reason card in the semantic phase.
    """

    bos: Tensor
    eos: Tensor
    codes: Tensor
    card: int
    constrained: bool

    @staticmethod
    def build(config: LmConfig, constrained: bool, device: torch.device) -> Grammar:
        """Lay the rules out as tables."""
        card, ids = config.reason_card, config.ids
        codes = torch.zeros(2, config.audio_vocab, dtype=torch.bool)  # [2, A]
        if constrained:
            codes[REASON, : config.reason_codes or card] = True
            codes[SEMANTIC, card : card + (config.semantic_codes or config.semantic_card)] = True
        else:
            codes[REASON] = True
            codes[SEMANTIC, card:] = True
        bos = torch.tensor([ids.reason_bos, ids.semantic_bos + card])
        eos = torch.tensor([ids.reason_eos, ids.semantic_eos + card])
        return Grammar(bos.to(device), eos.to(device), codes.to(device), card, constrained)

    def spans(self, rows: Rows) -> list[Span]:
        """Which rows may choose from which part of the vocabulary in this frame.

        On the CPU rows are told apart by phase, so that ids out of reach are never computed; a
        GPU would have to be waited for, so there all rows share the whole vocabulary.
        """
        whole = self.codes.shape[1]
        if not may_wait(rows.phase):
            return [Span(None, None, 0, whole)]
        reach = {
            REASON: (0, self.card if self.constrained else whole),
            SEMANTIC: (self.card, whole),
        }
        phases: list[int] = rows.phase.tolist()
        present = sorted(set(phases))
        if len(present) == 1:
            return [Span(None, present[0], *reach[present[0]])]
        return [
            Span((rows.phase == phase).nonzero()[:, 0], phase, *reach[phase]) for phase in present
        ]

    def allowed(self, column: int, rows: Rows, span: Span) -> Tensor:
        """Ids that a codebook may take now: bool, broadcastable to ``[B, stop - first]``.

        When constrained, codebook 0 decides alone whether the phase ends, which it may once
        the phase has one frame besides its bos.

        Args:
            column: 0..7.
            rows: those of the span.
            span: of `spans`.
        """
        phase: Tensor | int = rows.phase if span.phase is None else span.phase
        codes = self.codes[phase, span.first : span.stop]  # [V] or [B, V]
        if not self.constrained or column > 0:
            return codes
        may_end = rows.in_phase > 1
        ends = self.eos[rows.phase] - span.first
        return codes.expand(len(may_end), -1).scatter(1, ends[:, None], may_end[:, None])

    def settle(self, frame: Tensor, rows: Rows) -> Tensor:
        """Make whole marker frames of what was chosen, and mark rows that a limit switched.

        Args:
            frame: ``[B, 8]`` int64 as chosen under `allowed`.
            rows: their state before this frame; `limited` is updated.

        Returns:
            ``[B, 8]`` int64; without constraints, `frame` itself.
        """
        if not self.constrained:
            return frame
        bos, eos = self.bos[rows.phase], self.eos[rows.phase]  # [B]
        is_first = rows.in_phase == 0
        chose_end = frame[:, 0] == eos
        limit = torch.where(rows.phase == REASON, rows.reason_limit, rows.recon_limit)
        must_end = (rows.left > 1) & (rows.in_phase > limit)
        rows.limited |= must_end & ~chose_end & ~rows.done
        frame = torch.where((chose_end | must_end)[:, None], eos[:, None], frame)
        return torch.where(is_first[:, None], bos[:, None], frame)

    def advance(self, frame: Tensor, rows: Rows) -> Tensor:
        """Move rows between phases.

        Args:
            frame: ``[B, 8]`` int64 as fed back.
            rows: their state; `phase`, `in_phase` and `left` are updated.

        Returns:
            ``[B]`` bool: rows whose answer ends with this frame: the end of the last phase, or
            the end of reconstruction while it still was to begin.
        """
        is_end = (frame == self.eos[rows.phase][:, None]).sum(dim=1) == CODEBOOKS
        is_early = (frame == self.eos[SEMANTIC]).sum(dim=1) == CODEBOOKS
        is_stop = (is_end & (rows.left == 1)) | (is_early & (rows.phase == REASON))
        goes_on = is_end & ~is_stop
        rows.phase = torch.where(goes_on, 1 - rows.phase, rows.phase)
        rows.in_phase = (rows.in_phase + 1).masked_fill(goes_on, 0)
        rows.left = rows.left - goes_on.long()
        return is_stop
