"""Rows wait for memory, and for one another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.uniaudio2.lm.answers import SAMPLED, request, run
from tests.uniaudio2.lm.small import same, small_lm, text_prompt
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request


def test_rows_wait_until_enough_of_them_can_join() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=4)
    engine.admission = replace(engine.admission, together=3)
    tickets = [engine.submit(Request(text_prompt(4, n), n, "audio")) for n in range(10)]
    seen: set[int] = set()
    joined = []
    while not engine.is_idle:
        engine.step()
        new = {asked.ticket for asked in engine.live} - seen
        seen |= new
        joined += [len(new)] if new else []
    assert set(tickets) == set(engine.take()) == seen
    assert joined[0] == 4 and all(count >= 3 for count in joined[:-1])


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_rows_wait_for_memory_and_answer_the_same(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    requests = [request(number) for number in range(9)]
    want = run(Engine(lm, sampling, slots=6), requests)
    engine = Engine(lm, sampling, slots=6, kv_rows=80)
    tickets, most = [engine.submit(one) for one in requests], 0
    while not engine.is_idle:
        engine.step()
        most = max(most, len(engine.live))
        held = [len(asked.request.prompt) + asked.limit for asked in engine.live]
        assert len(held) <= 1 or len(held) * engine.halves * max(held) <= 80
    answers = engine.take()
    assert all(same(answers[ticket], one) for ticket, one in zip(tickets, want, strict=True))
    assert 1 <= most < 6


def test_a_row_that_exceeds_the_memory_runs_alone() -> None:
    engine = Engine(small_lm(), SAMPLED, slots=4, kv_rows=1)
    assert len(run(engine, [request(number) for number in range(3)])) == 3
