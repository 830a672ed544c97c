"""Prompts are run chunk by chunk, and what they share is computed once."""

from __future__ import annotations

import pytest

from tests.uniaudio2.lm.answers import SAMPLED, alone, plain_loop, run
from tests.uniaudio2.lm.small import audio_prompt, same, small_lm, text_prompt
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.tokens.grid import Prompt


def test_a_shared_prefix_is_computed_once() -> None:
    lm, opening = small_lm(), text_prompt(20, seed=9)
    requests = [
        Request(Prompt.join([opening, text_prompt(2 + number, seed=number)]), number, "audio")
        for number in range(6)
    ]
    for sampling in (SAMPLED, SAMPLED.model_copy(update={"guidance": 2.0})):
        engine = Engine(lm, sampling, slots=2)
        answers = run(engine, requests)
        assert engine.prefix_cache.computed_positions == 20 * sampling.sequences_per_request
        assert all(
            same(answer, plain)
            for answer, plain in zip(
                answers, [alone(lm, one, sampling) for one in requests], strict=True
            )
        )


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_known_prefix_is_computed_once_though_requests_come_one_by_one(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    # audio, then text: the texts of the prompts themselves are behind audio
    prefix = Prompt.join([audio_prompt(3, 4, seed=9), text_prompt(4, seed=3)])
    requests = [
        Request(Prompt.join([prefix, text_prompt(2 + n % 3, seed=n)]), n, "audio") for n in range(5)
    ]
    engine = Engine(lm, sampling, slots=1, prefix=prefix)
    answers = run(engine, requests)
    assert engine.prefix_cache.computed_positions == len(prefix) * engine.sequences_per_request
    for one, answer in zip(requests, answers, strict=True):
        assert same(answer, alone(lm, one, sampling))
        if guidance == 1:
            assert same(answer, plain_loop(lm, one, sampling))
    other = Request(text_prompt(6), 3, "audio")  # and requests without it are answered, too
    assert same(run(engine, [other])[0], alone(lm, other, sampling))


def test_text_behind_audio_passes_the_experts_though_it_comes_in_a_chunk_of_its_own() -> None:
    lm = small_lm()
    prompt = Prompt.join([audio_prompt(2, 3), text_prompt(9, seed=4)])
    one = Request(prompt, 5, "audio")
    engine = Engine(lm, SAMPLED, slots=1, max_prefill_positions=4)
    assert same(run(engine, [one])[0], plain_loop(lm, one, SAMPLED))


def test_another_prefix_replaces_the_one_that_is_remembered() -> None:
    lm = small_lm()
    requests = [
        Request(Prompt.join([text_prompt(12, seed), text_prompt(3, number)]), number, "text")
        for seed in (7, 8)
        for number in range(2)
    ]
    engine = Engine(lm, SAMPLED, slots=2)
    answers = run(engine, requests)
    assert engine.prefix_cache.computed_positions in (12, 24)
    assert all(
        same(answer, alone(lm, one, SAMPLED)) for answer, one in zip(answers, requests, strict=True)
    )


def test_prefill_goes_on_chunk_by_chunk_while_requests_run() -> None:
    lm = small_lm()
    engine = Engine(
        lm, SAMPLED.model_copy(update={"max_frames": 30}), slots=2, max_prefill_positions=6
    )
    engine.add_request(Request(text_prompt(3), 0, "audio"))
    engine.step()
    engine.add_request(Request(text_prompt(40), 1, "audio"))
    engine.step()
    assert engine.prefill is not None and engine.prefill.position == 6
    assert len(engine.running) == 1
    steps = int(engine.batch.state.steps[0])
    engine.step()
    assert engine.prefill.position == 12
    assert int(engine.batch.state.steps[0]) == steps + 1
