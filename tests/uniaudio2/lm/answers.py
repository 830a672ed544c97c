"""Requests of many kinds, and what a plain loop answers."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from tests.uniaudio2.lm.small import CONFIG, audio_prompt, small_lm, text_prompt
from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Generated, Request
from uniaudio2.lm.model import LogitsOf, UniAudioLM
from uniaudio2.lm.sampling.decode_state import Rows
from uniaudio2.lm.sampling.grammar import Grammar, phases_of
from uniaudio2.lm.sampling.sampling import Sampling, choose
from uniaudio2.tokens.codes import PAIR, Stream
from uniaudio2.tokens.grid import AUDIO, COLUMNS, TEXT, TEXT_COLUMN

ANSWERS: tuple[tuple[Stream, ...], ...] = (PAIR, PAIR, PAIR * 2, ("recon",), ("reason",))
SAMPLED = Sampling(top_k=8, max_frames=14)


def request(number: int) -> Request:
    """Prompts of many lengths, with and without audio, for all outputs."""
    prompt = (
        audio_prompt(1 + number % 3, 2 + number % 5, seed=number)
        if number % 3 == 0
        else text_prompt(2 + number % 7, seed=number)
    )
    output: Literal["text", "audio"] = "text" if number % 4 == 1 else "audio"
    return Request(prompt, 1000 + number, output, answer=ANSWERS[number % len(ANSWERS)])


def run(engine: Engine, requests: list[Request]) -> list[Generated]:
    tickets = [engine.submit(one) for one in requests]
    while not engine.is_idle:
        engine.step()
    answers = engine.take()
    return [answers[ticket] for ticket in tickets]


def alone(lm: UniAudioLM, one: Request, sampling: Sampling) -> Generated:
    (answer,) = run(Engine(lm, sampling, slots=1), [one])
    return answer


def plain_loop(lm: UniAudioLM, one: Request, sampling: Sampling) -> Generated:
    """No cache, no batch: the whole sequence is run again for every frame."""
    grammar = Grammar.build(CONFIG, sampling.constrained, lm.device)
    most = min(sampling.max_frames, CONFIG.context + 1 - len(one.prompt))
    rows = Rows.start([one.seed], [most], [phases_of(one.answer, None, most)], lm.device)
    tokens, kind = one.prompt.tokens[None], one.prompt.kind[None]
    chosen = []
    while not bool(rows.done):
        hidden = lm.hidden(tokens, kind)[:, -1]
        frame = torch.zeros(1, COLUMNS, dtype=torch.int64)
        if one.output == "text":
            logits = lm.text_head(hidden)
            frame[0, TEXT_COLUMN] = choose(logits, sampling, rows.seed, rows.frames, TEXT_COLUMN)
            stopped = frame[:, TEXT_COLUMN] == CONFIG.ids.text_eos
        else:
            (span,) = grammar.spans(rows)

            def pick(column: int, logits_of: LogitsOf) -> Tensor:
                logits = logits_of(None, 0, CONFIG.audio_vocab).masked_fill(~whole(column), -9e9)
                return choose(logits, sampling, rows.seed, rows.frames, column)

            def whole(column: int) -> Tensor:
                allowed = torch.zeros(1, CONFIG.audio_vocab, dtype=torch.bool)
                allowed[:, span.first : span.stop] = grammar.allowed(column, rows, span)  # noqa: B023 - called within this turn
                return allowed

            frame[:, :CODEBOOKS] = grammar.settle(lm.spell(hidden, pick), rows)
            stopped = grammar.advance(frame[:, :CODEBOOKS], rows)
        rows.count(stopped)
        chosen.append(frame[0])
        tokens = torch.cat([tokens, frame[None]], dim=1)
        next_kind = torch.tensor([[TEXT if one.output == "text" else AUDIO]], dtype=torch.uint8)
        kind = torch.cat([kind, next_kind], dim=1)
    limited = bool(rows.limited)
    return Generated.of_rows(torch.stack(chosen), one.output, limited, CONFIG, one.answer)


@lru_cache
def expected(number: int, greedy: bool) -> Generated:
    return plain_loop(small_lm(), request(number), SAMPLED.model_copy(update={"greedy": greedy}))
