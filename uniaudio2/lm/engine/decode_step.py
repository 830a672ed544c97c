"""Runs one step: feeds every sequence and chooses the next tokens of every request.

Nothing here but device work, so that it can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.decode_batch import StepShape
from uniaudio2.lm.engine.decode_buffers import DecodeBuffers, sequences_of
from uniaudio2.lm.kv_cache import KvCache, LmCache
from uniaudio2.lm.model import LogitsFn, SampleFn, UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.lm.sampling.grammar import Grammar
from uniaudio2.lm.sampling.logits_processors import logits_processors
from uniaudio2.lm.sampling.sampler import apply_cfg, logprobs_of, sample_ids
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.transfers import to_device
from uniaudio2.tokens.grid import AUDIO, COLUMNS, TEXT, TEXT_COLUMN


def slots_by_output(
    outputs: Sequence[Literal["audio", "text"]], device: torch.device
) -> tuple[Tensor, Tensor] | None:
    """Tell the slots that generate audio from those that generate text.

    Args:
        outputs: of each slot.
        device: where the slots are indexed.

    Returns:
        slots of audio ``[N]`` and of text ``[N']``, int64; None if all generate the same.
    """
    if len(set(outputs)) == 1:
        return None

    def slots(wanted: str) -> Tensor:
        those = [slot for slot, output in enumerate(outputs) if output == wanted]
        return to_device(torch.tensor(those, dtype=torch.int64), device)

    return slots("audio"), slots("text")


class DecodeStep:
    """Runs steps of the language model over a batch.

    Args:
        lm: the model.
        sampling: settings of all requests.
    """

    def __init__(self, lm: UniAudioLM, sampling: Sampling) -> None:
        self.lm, self.sampling = lm, sampling
        self.sequences_per_request = sampling.sequences_per_request
        self.grammar = Grammar.build(lm.config, sampling.constrained, lm.device)
        self.processors = logits_processors(sampling)

    def run(
        self,
        buffers: DecodeBuffers,
        cache: LmCache,
        shape: StepShape,
        slots_by_output: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Run a step in place.

        Args:
            buffers: of the slots that `shape` names.
            cache: of their sequences.
            shape: of `DecodeBatch.step_shape`.
            slots_by_output: of `slots_by_output`; needed where outputs differ.
        """
        audio_slots, text_slots = slots_by_output or (None, None)
        hidden = self.lm.step(
            buffers.tokens, buffers.kind, buffers.positions, cache,
            shape.kv_length, shape.only_text,
        )  # [M, D]  # fmt: skip
        state = replace(buffers.state)
        tokens = state.seed.new_zeros(len(state.seed), COLUMNS)  # [B, 9]
        stopped = torch.zeros_like(state.finished)  # [B]
        kind = torch.full_like(state.seed, AUDIO if shape.output == "audio" else TEXT)  # [B]
        if shape.output != "text":
            slots = slice(None) if audio_slots is None else audio_slots
            own = self._state_of(state, audio_slots)
            frame = self._choose_frame(own, self._select(hidden, audio_slots), buffers.depth_cache)
            tokens[slots, :CODEBOOKS] = frame
            stopped[slots] = self.grammar.advance(frame, own)
            if audio_slots is not None:
                kind[audio_slots] = AUDIO
                state.update(audio_slots, own)
        if shape.output != "audio":
            slots = slice(None) if text_slots is None else text_slots
            own = self._state_of(state, text_slots)
            history = buffers.text_history()
            ids = self._choose_text(own, self._select(hidden, text_slots), history, slots)
            if text_slots is not None:
                state.update(text_slots, own)
            tokens[slots, TEXT_COLUMN] = ids
            stopped[slots] = ids == self.lm.config.ids.text_eos
        buffers.write_step(state, tokens, kind, stopped)

    def _choose_text(
        self, state: DecodeState, hidden: Tensor, history: Tensor, slots: Tensor | slice
    ) -> Tensor:
        """Choose text ids ``[N]``.

        Args:
            state: of N requests.
            hidden: ``[M, D]`` of their sequences.
            history: ``[B, S]`` int64, ids that all requests of the batch have chosen.
            slots: where the N requests are in it.
        """
        logits = self._guided(self.lm.text_head(hidden))  # [N, V]
        for process in self.processors:
            logits = process(logits, history[slots], state.steps)
        ids = sample_ids(logits, self.sampling, state.seed, state.steps, TEXT_COLUMN)
        if self.sampling.logprobs:
            logprobs = logprobs_of(logits, ids)[:, None]
            state.count_drawn(logprobs, torch.ones_like(logprobs, dtype=torch.bool))
        return ids

    def _choose_frame(self, state: DecodeState, hidden: Tensor, depth_cache: KvCache) -> Tensor:
        """Choose audio frames ``[N, 8]``; arguments as of `_choose_text`."""
        logprobs: list[Tensor] = []
        sample = self._sample_fn(state, logprobs)
        frames = self.lm.generate_frame(hidden, sample, depth_cache)  # [M, 8]
        frames = frames[:: self.sequences_per_request]
        forced = self.grammar.force_markers(frames, state)
        if logprobs:
            state.count_drawn(torch.stack(logprobs, dim=1), forced == frames)
        return forced

    def _sample_fn(self, state: DecodeState, logprobs: list[Tensor]) -> SampleFn:
        """What chooses the ids of requests at a depth, vocabulary range by vocabulary range, and
        adds to `logprobs` theirs ``[B]``, depth by depth, where that is asked for."""
        ranges = [
            (one, self._state_of(state, one.slots), self._sequences_of(one.slots))
            for one in self.grammar.vocab_ranges(state)
        ]

        def sample(depth: int, logits_of: LogitsFn) -> Tensor:
            ids = torch.empty_like(state.seed)  # [B]
            own_logprobs = torch.empty_like(state.seed, dtype=torch.float32)  # [B]
            for one, own, sequences in ranges:
                logits = self._guided(logits_of(sequences, one.first, one.stop))
                allowed = self.grammar.allowed(depth, own, one)
                chosen = sample_ids(
                    logits, self.sampling, own.seed, own.steps, depth, allowed, one.first
                )
                slots = slice(None) if one.slots is None else one.slots
                ids[slots] = chosen
                if self.sampling.logprobs:
                    own_logprobs[slots] = logprobs_of(logits, chosen, one.first)
            if self.sampling.logprobs:
                logprobs.append(own_logprobs)
            return ids[:, None].expand(-1, self.sequences_per_request).flatten()  # [M]

        return sample

    def _guided(self, logits: Tensor) -> Tensor:
        """Logits of requests ``[B, V]`` from those of their sequences ``[M, V]``."""
        if self.sequences_per_request == 1:
            return logits
        return apply_cfg(logits, self.sampling.cfg_factor)

    def _state_of(self, state: DecodeState, slots: Tensor | None) -> DecodeState:
        return state if slots is None else state.select(slots)

    def _sequences_of(self, slots: Tensor | None) -> Tensor | None:
        return None if slots is None else sequences_of(slots, self.sequences_per_request)

    def _select(self, hidden: Tensor, slots: Tensor | None) -> Tensor:
        """The hidden states of the sequences of some slots."""
        sequences = self._sequences_of(slots)
        return hidden if sequences is None else hidden[sequences]
