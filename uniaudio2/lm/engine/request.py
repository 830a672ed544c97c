"""What the engine is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import TEXT_COLUMN, Prompt, parse_answer
from uniaudio2.tokens.streams import PAIR, Stream


@dataclass(frozen=True)
class Request:
    """A prompt to answer.

    Attributes:
        prompt: all positions before the answer.
        seed: decides the draws of its tokens, in ``[0, 2**63)``.
        output: whether audio frames or text ids are generated.
        unconditional: prompt of the unconditional sequence under guidance; None makes one of
            `prompt` by replacing its tokens with padding ids.
        answer: streams of an audio answer, in their order.
    """

    prompt: Prompt
    seed: int
    output: Literal["audio", "text"]
    unconditional: Prompt | None = None
    answer: tuple[Stream, ...] = PAIR


@dataclass(frozen=True)
class RequestOutput:
    """What a request was answered.

    Attributes:
        text_ids: ids before the text eos (none for audio).
        sounds: the two streams of every sound, possibly empty; none for text.
        finish_reason: "stop" if the answer ended by itself, "length" if a limit cut it or its
            reasoning.
        steps: steps that were run for it; each chose an audio frame or a text id, markers
            included.
        mean_logprob: mean log-probability of the tokens that were chosen, markers that a rule gave
            left out; None without `Sampling.logprobs`.
    """

    text_ids: list[int]
    sounds: tuple[Codes, ...]
    finish_reason: Literal["stop", "length"]
    steps: int
    mean_logprob: float | None = None

    @property
    def codes(self) -> Codes:
        """The first sound."""
        return self.sounds[0] if self.sounds else Codes.empty()

    @staticmethod
    def from_tokens(
        tokens: Tensor,
        output: Literal["audio", "text"],
        hit_limit: bool,
        config: LmConfig,
        answer: tuple[Stream, ...] = PAIR,
        mean_logprob: float = nan,
    ) -> RequestOutput:
        """Read an answer from the tokens ``[S, 9]`` that S steps chose.

        Args:
            tokens: int64 rows of the token grid, on any device.
            output: as requested.
            hit_limit: a limit cut the answer or switched its phase.
            config: markers and cards.
            answer: as requested.
            mean_logprob: of what was chosen; NaN where that is not known.
        """
        tokens = tokens.cpu()
        is_text = output == "text"
        frames = tokens[:, :CODEBOOKS].to(torch.int64)
        return RequestOutput(
            text_ids=_before_eos(tokens[:, TEXT_COLUMN], config) if is_text else [],
            sounds=() if is_text else parse_answer(frames, config, answer),
            finish_reason="length" if hit_limit else "stop",
            steps=len(tokens),
            mean_logprob=None if isnan(mean_logprob) else mean_logprob,
        )


def _before_eos(ids: Tensor, config: LmConfig) -> list[int]:
    listed: list[int] = ids.tolist()
    eos = config.ids.text_eos
    return listed[: listed.index(eos)] if eos in listed else listed
