"""Constrains audio answers to the grammar of their phases and marker frames.

The answer of most tasks is: reason bos, reasoning frames, reason eos, semantic bos,
reconstruction frames, semantic eos; a marker frame holds its id in all eight codebooks. Where
several sounds are asked for, they follow one another; where one stream is, the other is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.lm.sampling.decode_state import REASON, SEMANTIC, DecodeState, Phases
from uniaudio2.runtime.cuda_graphs import may_sync
from uniaudio2.tokens.streams import Stream

_REASON_SHARE = (2, 7)  # 5 Hz of reasoning for 12.5 Hz of reconstruction: 5 / 17.5


def phases_of(answer: tuple[Stream, ...], reason_limit: int | None, max_frames: int) -> Phases:
    """Plan the phases of an answer, each limited so that all that follows still fits.

    Args:
        answer: the streams that are asked for.
        reason_limit: `Sampling.reason_limit`.
        max_frames: frames of the whole answer, markers included.

    Returns:
        The reasoning limit is what was asked for, or else its share of an answer that fills
        `max_frames`; never so much that no reconstruction frame would fit. Several sounds get
        equal parts.
    """
    sounds = max(len(answer) // 2, 1)
    frames = (max_frames - 2 * len(answer) + 1) // sounds  # of one sound, without markers
    share, whole = _REASON_SHARE
    room = frames - 1
    wanted = room * share // whole if reason_limit is None else reason_limit
    reason = max(1, min(wanted, room))
    first = REASON if answer[0] == "reason" else SEMANTIC
    return Phases(first, len(answer), reason, max(1, frames - reason))


@dataclass(frozen=True)
class VocabRange:
    """The range of ids from which some requests choose.

    Attributes:
        slots: the requests, ``[N]`` int64; None for all.
        phase: that all of them are in; None if they may differ.
        first: first id.
        stop: the id behind the last one.
    """

    slots: Tensor | None
    phase: int | None
    first: int
    stop: int


@dataclass(frozen=True)
class Grammar:
    """The rules of audio answers as tables on a device, by phase (0 reason, 1 semantic).

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
        """Make the tables of a model.

        Args:
            config: cards, markers, and how many ids the codec can decode.
            constrained: see `Grammar`.
            device: where the tables are read.
        """
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

    def vocab_ranges(self, state: DecodeState) -> list[VocabRange]:
        """Tell which requests choose from which range of the vocabulary in this step.

        On the CPU requests are split by phase, so that logits out of reach are never computed; a
        GPU would have to be waited for, so there all of them share the whole vocabulary.
        """
        whole = self.codes.shape[1]
        if not may_sync(state.phase):
            return [VocabRange(None, None, 0, whole)]
        reach = {
            REASON: (0, self.card if self.constrained else whole),
            SEMANTIC: (self.card, whole),
        }
        phases: list[int] = state.phase.tolist()
        present = sorted(set(phases))
        if len(present) == 1:
            return [VocabRange(None, present[0], *reach[present[0]])]
        return [
            VocabRange((state.phase == phase).nonzero()[:, 0], phase, *reach[phase])
            for phase in present
        ]

    def allowed(self, depth: int, state: DecodeState, ids: VocabRange) -> Tensor:
        """Tell which ids a codebook may take now.

        When constrained, depth 0 decides alone whether the phase ends, which it may once the
        phase has one frame besides its bos.

        Args:
            depth: 0..7.
            state: of the requests of the range.
            ids: of `vocab_ranges`.

        Returns:
            bool, broadcastable to ``[B, stop - first]``.
        """
        phase: Tensor | int = state.phase if ids.phase is None else ids.phase
        codes = self.codes[phase, ids.first : ids.stop]  # [V] or [B, V]
        if not self.constrained or depth > 0:
            return codes
        may_end = state.phase_steps > 1
        ends = self.eos[state.phase] - ids.first
        return codes.expand(len(may_end), -1).scatter(1, ends[:, None], may_end[:, None])

    def force_markers(self, frame: Tensor, state: DecodeState) -> Tensor:
        """Make whole marker frames of what was chosen, and note answers that a limit switched.

        Args:
            frame: ``[B, 8]`` int64 as chosen under `allowed`.
            state: before this step; `hit_limit` is updated.

        Returns:
            ``[B, 8]`` int64; without constraints, `frame` itself.
        """
        if not self.constrained:
            return frame
        bos, eos = self.bos[state.phase], self.eos[state.phase]  # [B]
        is_first = state.phase_steps == 0
        chose_end = frame[:, 0] == eos
        limit = torch.where(state.phase == REASON, state.reason_limit, state.recon_limit)
        must_end = (state.phases_left > 1) & (state.phase_steps > limit)
        state.hit_limit |= must_end & ~chose_end & ~state.finished
        frame = torch.where((chose_end | must_end)[:, None], eos[:, None], frame)
        return torch.where(is_first[:, None], bos[:, None], frame)

    def advance(self, frame: Tensor, state: DecodeState) -> Tensor:
        """Move requests to their next phase where the frame ends one.

        Args:
            frame: ``[B, 8]`` int64 as fed back.
            state: `phase`, `phase_steps` and `phases_left` are updated.

        Returns:
            ``[B]`` bool: whether the answer ends with this frame: at the end of the last phase,
            or of reconstruction while it still was to begin.
        """
        is_end = (frame == self.eos[state.phase][:, None]).sum(dim=1) == CODEBOOKS
        is_early = (frame == self.eos[SEMANTIC]).sum(dim=1) == CODEBOOKS
        is_stop = (is_end & (state.phases_left == 1)) | (is_early & (state.phase == REASON))
        goes_on = is_end & ~is_stop
        state.phase = torch.where(goes_on, 1 - state.phase, state.phase)
        state.phase_steps = (state.phase_steps + 1).masked_fill(goes_on, 0)
        state.phases_left = state.phases_left - goes_on.long()
        return is_stop
