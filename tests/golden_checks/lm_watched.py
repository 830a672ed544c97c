"""Answers a request with the real engine, and keeps the tensors that its steps computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.decode_buffers import DecodeBuffers
from uniaudio2.lm.engine.decode_step import DecodeStep
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.model import LogitsFn, SampleFn, UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.lm.sampling.sampling import Sampling


class Watched(Engine):
    """An engine that answers one request and notes what it computed in every step."""

    def __init__(self, lm: UniAudioLM, request: Request, steps: int, sampling: Sampling) -> None:
        super().__init__(lm, sampling.model_copy(update={"max_frames": steps}), slots=1)
        self.hidden: list[Tensor] = []  # [M, D] a step
        self.audio: list[Tensor] = []  # [M, A] a step and depth
        self.phases: list[Tensor] = []  # [1] a step
        self.tokens: list[Tensor] = []  # [9] a step
        self.decode_step = self.Step(self)
        request_id = self.add_request(request)
        while self.has_unfinished_requests():
            self.step()
        self.answer = self.pop_finished_outputs()[request_id]

    class Step(DecodeStep):
        """Runs the same steps, and tells what it computed."""

        def __init__(self, told: Watched) -> None:
            super().__init__(told.lm, told.sampling)
            self.told = told

        def run(self, buffers: DecodeBuffers, *more: Any) -> None:
            steps = int(buffers.state.steps[0])
            self.told.phases.append(buffers.state.phase.clone())
            super().run(buffers, *more)
            self.told.tokens.append(buffers.generated[0, steps].clone())

        def _choose_text(self, state: DecodeState, hidden: Tensor, *more: Any) -> Tensor:
            self.told.hidden.append(hidden)
            return super()._choose_text(state, hidden, *more)

        def _choose_frame(self, state: DecodeState, hidden: Tensor, *more: Any) -> Tensor:
            self.told.hidden.append(hidden)
            return super()._choose_frame(state, hidden, *more)

        def _sample_fn(self, state: DecodeState, logprobs: list[Tensor]) -> SampleFn:
            choose_ids = super()._sample_fn(state, logprobs)

            def sample(depth: int, logits_of: LogitsFn) -> Tensor:
                self.told.audio.append(logits_of(None, 0, self.lm.config.audio_vocab))
                return choose_ids(depth, logits_of)

            return sample

    @property
    def chosen(self) -> Tensor:
        return torch.stack(self.tokens)  # [S, 9]

    @property
    def text_logits(self) -> Tensor:
        return self.lm.text_head(torch.stack(self.hidden))  # [S, M, V]

    @property
    def audio_logits(self) -> Tensor:
        by_step = torch.stack(self.audio).unflatten(0, (-1, CODEBOOKS))
        return by_step.transpose(1, 2)  # [S, M, 8, A]
