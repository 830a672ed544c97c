"""What the engine is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.tokens.codes import PAIR, Codes, Stream
from uniaudio2.tokens.grid import TEXT_COLUMN, Prompt, parse_answer


@dataclass(frozen=True)
class Request:
    """One row to answer.

    Attributes:
        prompt: all rows before the answer.
        seed: decides the row's draws, in ``[0, 2**63)``.
        output: audio frames or text ids.
        unconditional: the other half of guidance; None blanks `prompt`.
        answer: streams of an audio answer, in their order.
    """

    prompt: Prompt
    seed: int
    output: Literal["audio", "text"]
    unconditional: Prompt | None = None
    answer: tuple[Stream, ...] = PAIR


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        text_ids: ids before the text eos (none for audio).
        sounds: the two streams of every sound, possibly empty; none for text.
        finish_reason: "stop" if the row ended by itself, "length" if a limit cut its answer or
            its reasoning.
        frames: frames or text ids that were chosen, markers included.
    """

    text_ids: list[int]
    sounds: tuple[Codes, ...]
    finish_reason: Literal["stop", "length"]
    frames: int

    @property
    def codes(self) -> Codes:
        """The first sound."""
        return self.sounds[0] if self.sounds else Codes.empty()

    @staticmethod
    def of_rows(
        chosen: Tensor,
        output: Literal["audio", "text"],
        limited: bool,
        config: LmConfig,
        answer: tuple[Stream, ...] = PAIR,
    ) -> Generated:
        """Read an answer from the ``[F, 9]`` rows that were chosen."""
        chosen = chosen.cpu()
        is_text = output == "text"
        frames = chosen[:, :CODEBOOKS].to(torch.int64)
        return Generated(
            text_ids=_before_eos(chosen[:, TEXT_COLUMN], config) if is_text else [],
            sounds=() if is_text else parse_answer(frames, config, answer),
            finish_reason="length" if limited else "stop",
            frames=len(chosen),
        )


def _before_eos(ids: Tensor, config: LmConfig) -> list[int]:
    listed: list[int] = ids.tolist()
    eos = config.ids.text_eos
    return listed[: listed.index(eos)] if eos in listed else listed
