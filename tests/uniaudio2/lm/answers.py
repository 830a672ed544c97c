"""Requests of many kinds, and what a plain loop answers."""

from __future__ import annotations

from functools import lru_cache
from math import nan
from typing import Literal

import torch
from torch import Tensor

from tests.uniaudio2.lm.small import CONFIG, audio_prompt, small_lm, text_prompt
from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.model import LogitsFn, UniAudioLM
from uniaudio2.lm.sampling.decode_state import DecodeState
from uniaudio2.lm.sampling.grammar import Grammar, phases_of
from uniaudio2.lm.sampling.sampler import sample_ids
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.grid import AUDIO, COLUMNS, TEXT, TEXT_COLUMN
from uniaudio2.tokens.streams import PAIR, Stream

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


def run(engine: Engine, requests: list[Request]) -> list[RequestOutput]:
    request_ids = [engine.add_request(one) for one in requests]
    while engine.has_unfinished_requests():
        engine.step()
    outputs = engine.pop_finished_outputs()
    return [outputs[request_id] for request_id in request_ids]


def alone(lm: UniAudioLM, one: Request, sampling: Sampling) -> RequestOutput:
    (output,) = run(Engine(lm, sampling, slots=1), [one])
    return output


def plain_loop(lm: UniAudioLM, one: Request, sampling: Sampling) -> RequestOutput:
    """No cache, no batch: the whole sequence is run again in every step."""
    grammar = Grammar.build(CONFIG, sampling.constrained, lm.device)
    most = min(sampling.max_frames, CONFIG.context + 1 - len(one.prompt))
    state = DecodeState.start([one.seed], [most], [phases_of(one.answer, None, most)], lm.device)
    tokens, kind = one.prompt.tokens[None], one.prompt.kind[None]
    steps, logprobs = [], list[float]()
    while not bool(state.finished):
        hidden = lm.hidden(tokens, kind)[:, -1]
        chosen = torch.zeros(1, COLUMNS, dtype=torch.int64)
        if one.output == "text":
            logits = lm.text_head(hidden)
            chosen[0, TEXT_COLUMN] = sample_ids(
                logits, sampling, state.seed, state.steps, TEXT_COLUMN
            )
            stopped = chosen[:, TEXT_COLUMN] == CONFIG.ids.text_eos
            logprobs.append(float(logits.log_softmax(-1)[0, chosen[0, TEXT_COLUMN]]))
        else:
            (ids,) = grammar.vocab_ranges(state)
            drawn = list[tuple[int, float]]()  # at each depth

            def sample(depth: int, logits_of: LogitsFn) -> Tensor:
                logits = logits_of(None, 0, CONFIG.audio_vocab).masked_fill(~whole(depth), -9e9)
                ids = sample_ids(logits, sampling, state.seed, state.steps, depth)
                drawn.append((int(ids), float(logits.log_softmax(-1)[0, int(ids)])))  # noqa: B023 - as below
                return ids

            def whole(depth: int) -> Tensor:
                allowed = torch.zeros(1, CONFIG.audio_vocab, dtype=torch.bool)
                allowed[:, ids.first : ids.stop] = grammar.allowed(depth, state, ids)  # noqa: B023 - called within this turn
                return allowed

            frame = grammar.force_markers(lm.generate_frame(hidden, sample), state)
            stopped = grammar.advance(frame, state)
            chosen[:, :CODEBOOKS] = frame
            own = zip(drawn, frame[0].tolist(), strict=True)
            logprobs += [logprob for (one, logprob), kept in own if one == kept]
        state.count_step(stopped)
        steps.append(chosen[0])
        tokens = torch.cat([tokens, chosen[None]], dim=1)
        next_kind = torch.tensor([[TEXT if one.output == "text" else AUDIO]], dtype=torch.uint8)
        kind = torch.cat([kind, next_kind], dim=1)
    hit_limit = bool(state.hit_limit)
    mean = sum(logprobs) / len(logprobs) if sampling.logprobs and logprobs else nan
    return RequestOutput.from_tokens(
        torch.stack(steps), one.output, hit_limit, CONFIG, one.answer, mean
    )


@lru_cache
def expected(number: int, greedy: bool) -> RequestOutput:
    return plain_loop(small_lm(), request(number), SAMPLED.model_copy(update={"greedy": greedy}))
