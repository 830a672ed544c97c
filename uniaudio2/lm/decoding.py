"""A batch of rows on its way: prefill once, then one frame (or text id) per row and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import torch
from torch import Tensor

from uniaudio2.codes import Codes
from uniaudio2.config import CODEBOOKS, LmConfig
from uniaudio2.frames import (
    AUDIO,
    COLUMNS,
    TEXT,
    TEXT_COLUMN,
    Prompt,
    pad_prompts,
    parse_frames,
    unconditional,
)
from uniaudio2.lm.grammar import Grammar, reason_limit
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.rows import Rows
from uniaudio2.lm.sampling import Sampling, choose, guide

_DROP_SHARE = 4  # moving a cache costs about one step: worth it once 1 row in 4 is finished


@dataclass(frozen=True)
class Request:
    """One row to answer.

    Attributes:
        prompt: all rows before the answer.
        seed: decides the row's draws, in ``[0, 2**63)``.
        output: audio frames or text ids.
        unconditional: the other half of guidance; None blanks `prompt`.
    """

    prompt: Prompt
    seed: int
    output: Literal["audio", "text"]
    unconditional: Prompt | None = None


@dataclass(frozen=True)
class Generated:
    """One answer.

    Attributes:
        text_ids: ids before the text eos (none for audio).
        codes: the two streams, possibly empty (always for text).
        finish_reason: "stop" if the row ended by itself, "length" if a limit cut its answer or
            its reasoning.
        frames: frames or text ids that were chosen, markers included.
    """

    text_ids: list[int]
    codes: Codes
    finish_reason: Literal["stop", "length"]
    frames: int


class Decoding:
    """Rows of one output kind in flight, of any prompt lengths; finished ones leave.

    With guidance every row runs twice: the cache holds all conditional rows, then all
    unconditional ones, and both halves are fed the same frames.

    Args:
        lm: the model.
        requests: what to answer, all of one `output`.
        max_frames: most frames of each row, within what the context holds.
        sampling: the settings of all rows.
    """

    def __init__(
        self,
        lm: UniAudioLM,
        requests: Sequence[Request],
        max_frames: Sequence[int],
        sampling: Sampling,
    ) -> None:
        self.lm, self.sampling = lm, sampling
        self.is_text = requests[0].output == "text"
        self.is_guided = sampling.guidance > 1
        self.grammar = Grammar.build(lm.config, sampling.constrained, lm.device)
        self.rows = Rows.start(
            [request.seed for request in requests],
            list(max_frames),
            [reason_limit(sampling.reason_limit, most) for most in max_frames],
            lm.device,
        )
        # a row that is finished but not yet dropped goes on choosing, into the slot past its end
        self.chosen = torch.zeros(
            len(requests), max(max_frames), COLUMNS, dtype=torch.int64, device=lm.device
        )  # [N, F, 9]
        self.results: dict[int, Generated] = {}
        self._prefill(_prompts(requests, lm.config, self.is_guided), max_frames)

    def _prefill(self, prompts: list[Prompt], max_frames: Sequence[int]) -> None:
        """Store all rows of the prompts but the last, which the first step feeds."""
        tokens, kind, lengths = (part.to(self.lm.device) for part in pad_prompts(prompts))
        longest = tokens.shape[1]
        ends = [len(prompt) - 1 + most for prompt, most in zip(prompts, cycle(max_frames))]
        self.cache = self.lm.new_cache(len(prompts), max(ends))
        if longest > 1:
            self.lm.prefill(tokens[:, :-1], kind[:, :-1], self.cache)
        every = torch.arange(len(prompts), device=self.lm.device)
        self.positions = lengths - 1  # [M], M = B or 2 B
        self.tokens = tokens[every, self.positions]  # [M, 9]
        self.kind = kind[every, self.positions]  # [M]
        self.visible = longest
        self.only_text = self.is_text and all(int(prompt.kind[-1]) == TEXT for prompt in prompts)

    @property
    def is_finished(self) -> bool:
        """Whether every request has its result."""
        return len(self.results) == len(self.chosen)

    def step(self) -> None:
        """Choose the next frame of every row, feed it, and let finished rows go."""
        hidden = self.lm.step(
            self.tokens, self.kind, self.positions, self.cache, self.visible, self.only_text
        )  # [M, D]
        frame = self._next_text(hidden) if self.is_text else self._next_audio(hidden)  # [B, 9]
        self.chosen[self.rows.request, self.rows.frames] = frame
        self.rows.count(self._stopped(frame))
        self._feed(frame)
        self._release()

    def _choose(self, column: int, logits: Tensor, allowed: Tensor | None = None) -> Tensor:
        """One id per row from the logits ``[M, V]`` of its half or halves: ``[B]``."""
        if self.is_guided:
            logits = guide(logits, self.sampling.guidance)
        rows = self.rows
        return choose(logits, self.sampling, rows.seed, rows.frames, column, allowed)

    def _next_text(self, hidden: Tensor) -> Tensor:
        frame = self.chosen.new_zeros(len(self.rows.done), COLUMNS)  # [B, 9]
        frame[:, TEXT_COLUMN] = self._choose(TEXT_COLUMN, self.lm.text_head(hidden))
        return frame

    def _next_audio(self, hidden: Tensor) -> Tensor:
        def pick(column: int, logits: Tensor) -> Tensor:
            ids = self._choose(column, logits, self.grammar.allowed(column, self.rows))
            return self._for_halves(ids)

        spelled = self.lm.spell(hidden, pick)[: len(self.rows.done)]
        frame = self.chosen.new_zeros(len(spelled), COLUMNS)  # [B, 9]
        frame[:, :CODEBOOKS] = self.grammar.settle(spelled, self.rows)
        return frame

    def _stopped(self, frame: Tensor) -> Tensor:
        if self.is_text:
            return frame[:, TEXT_COLUMN] == self.lm.config.ids.text_eos
        return self.grammar.advance(frame[:, :CODEBOOKS], self.rows)

    def _for_halves(self, values: Tensor) -> Tensor:
        """The same values for both halves of guidance."""
        return torch.cat([values, values]) if self.is_guided else values

    def _feed(self, frame: Tensor) -> None:
        """Make the chosen frames the next rows; finished rows stay where they are."""
        self.tokens = self._for_halves(frame)
        self.kind = torch.full_like(self.kind, TEXT if self.is_text else AUDIO)
        self.positions = self.positions + self._for_halves(~self.rows.done)
        self.visible += 1
        self.only_text = self.is_text

    def _release(self) -> None:
        """Read finished rows out and drop them once they are a good share of the batch."""
        done: list[bool] = self.rows.done.tolist()
        finished = [row for row, is_done in enumerate(done) if is_done]
        live = [row for row, is_done in enumerate(done) if not is_done]
        if not finished or (live and len(finished) * _DROP_SHARE < len(done)):
            return
        self._collect(finished)
        if not live:
            return
        kept = torch.tensor(live, device=self.lm.device)
        self.rows = self.rows.select(kept)
        kept = torch.cat([kept, kept + len(done)]) if self.is_guided else kept
        self.tokens, self.kind = self.tokens[kept], self.kind[kept]
        self.positions, self.cache = self.positions[kept], self.cache.select(kept)
        self.visible = int(self.positions.max()) + 1

    def _collect(self, finished: list[int]) -> None:
        """Turn what finished rows chose into results."""
        for row in finished:
            request, frames = int(self.rows.request[row]), int(self.rows.frames[row])
            chosen = self.chosen[request, :frames].cpu()
            audio = chosen[: 0 if self.is_text else frames, :CODEBOOKS]
            self.results[request] = Generated(
                text_ids=_text_ids(chosen, self.lm.config) if self.is_text else [],
                codes=parse_frames(audio, self.lm.config),
                finish_reason="length" if bool(self.rows.limited[row]) else "stop",
                frames=frames,
            )


def _prompts(requests: Sequence[Request], config: LmConfig, is_guided: bool) -> list[Prompt]:
    """The prompts that run: the conditional ones, then their unconditional halves if guided."""
    prompts = [request.prompt for request in requests]
    if is_guided:
        prompts += [
            request.unconditional or unconditional(request.prompt, config) for request in requests
        ]
    return prompts


def _text_ids(chosen: Tensor, config: LmConfig) -> list[int]:
    """Ids before the text eos of ``[F, 9]`` chosen rows."""
    ids: list[int] = chosen[:, TEXT_COLUMN].tolist()
    return ids[: ids.index(config.ids.text_eos)] if config.ids.text_eos in ids else ids
