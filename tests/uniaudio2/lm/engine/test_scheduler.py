"""Requests wait for memory, and for one another."""

from __future__ import annotations

import pytest

from tests.uniaudio2.lm.answers import SAMPLED, request, run
from tests.uniaudio2.lm.small import same, small_lm, text_prompt
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request


def test_requests_wait_until_enough_of_them_can_be_admitted() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=4)
    engine.scheduler.group_size = 3
    request_ids = [engine.add_request(Request(text_prompt(4, n), n, "audio")) for n in range(10)]
    seen: set[int] = set()
    admitted = []
    while engine.has_unfinished_requests():
        engine.step()
        new = {one.request_id for one in engine.running} - seen
        seen |= new
        admitted += [len(new)] if new else []
    assert set(request_ids) == set(engine.pop_finished_outputs()) == seen
    assert admitted[0] == 4 and all(count >= 3 for count in admitted[:-1])


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_requests_wait_for_memory_and_answer_the_same(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    requests = [request(number) for number in range(9)]
    want = run(Engine(lm, sampling, slots=6), requests)
    engine = Engine(lm, sampling, slots=6, kv_positions=80)
    request_ids, most = [engine.add_request(one) for one in requests], 0
    while engine.has_unfinished_requests():
        engine.step()
        most = max(most, len(engine.running))
        held = [len(one.request.prompt) + one.max_steps for one in engine.running]
        assert len(held) <= 1 or len(held) * engine.sequences_per_request * max(held) <= 80
    outputs = engine.pop_finished_outputs()
    assert all(
        same(outputs[request_id], one) for request_id, one in zip(request_ids, want, strict=True)
    )
    assert 1 <= most < 6


def test_a_request_that_exceeds_the_memory_runs_alone() -> None:
    engine = Engine(small_lm(), SAMPLED, slots=4, kv_positions=1)
    assert len(run(engine, [request(number) for number in range(3)])) == 3
