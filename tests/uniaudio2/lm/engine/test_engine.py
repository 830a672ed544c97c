"""Rows join and leave; what a row answers is what a plain loop would have answered alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.uniaudio2.lm.answers import SAMPLED, alone, expected, request, run
from tests.uniaudio2.lm.small import CONFIG, same, small_lm, text_prompt
from tests.uniaudio2.lm.tape import Tapes
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Generated, Request
from uniaudio2.lm.sampling.sampling import Sampling


@settings(deadline=None, max_examples=20)
@given(
    numbers=st.lists(st.integers(0, 14), min_size=1, max_size=9),
    slots=st.integers(1, 5),
    prefill_rows=st.sampled_from([1, 7, 4096]),
    lag=st.integers(0, 3),
    together=st.integers(1, 4),
    recorded=st.booleans(),
    greedy=st.booleans(),
)
def test_any_schedule_answers_as_the_plain_loop(
    numbers: list[int],
    slots: int,
    prefill_rows: int,
    lag: int,
    together: int,
    recorded: bool,
    greedy: bool,
) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"greedy": greedy})
    recorder = Tapes() if recorded else None
    engine = Engine(lm, sampling, slots, prefill_rows, recorder=recorder, lag=lag)
    engine.admission = replace(engine.admission, together=together)
    requests = [request(number) for number in numbers]
    for number, answer in zip(numbers, run(engine, requests), strict=True):
        assert same(answer, expected(number, greedy))


def test_rows_join_a_running_batch_and_take_the_slots_of_those_that_left() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=3)
    first = [request(number) for number in range(6)]
    tickets = {engine.submit(one): one for one in first}
    for _ in range(4):
        engine.step()
        assert len(engine.live) <= 3
    late = [request(number) for number in range(6, 10)]
    tickets |= {engine.submit(one): one for one in late}
    answers: dict[int, Generated] = {}
    while not engine.is_idle:
        engine.step()
        answers |= engine.take()
    assert answers.keys() == tickets.keys()
    for ticket, one in tickets.items():
        assert same(answers[ticket], alone(lm, one, SAMPLED))


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_guided_rows_keep_their_halves_together_when_they_move(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    requests = [request(number) for number in range(11)]
    for slots in (1, 4, 11):
        for one, answer in zip(requests, run(Engine(lm, sampling, slots), requests), strict=True):
            assert same(answer, alone(lm, one, sampling))


def test_a_cancelled_row_answers_nothing_and_disturbs_nobody() -> None:
    lm = small_lm()
    requests = [request(number) for number in range(7)]
    for when in range(6):
        engine = Engine(lm, SAMPLED, slots=2, prefill_rows=5)
        tickets = [engine.submit(one) for one in requests]
        for _ in range(when):
            engine.step()
        engine.cancel(tickets[0])  # live, joining or done
        engine.cancel(tickets[-1])  # still waiting
        while not engine.is_idle:
            engine.step()
        answers = engine.take()
        assert set(answers) == set(tickets[1:-1])
        assert all(
            same(answers[ticket], alone(lm, one, SAMPLED))
            for ticket, one in zip(tickets[1:-1], requests[1:-1], strict=True)
        )


def test_an_idle_engine_can_be_used_again() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=2)
    once = run(engine, [request(3), request(4)])
    again = run(engine, [request(4), request(3)])
    assert same(once[0], again[1]) and same(once[1], again[0])
    assert engine.take() == {}


def test_the_longest_row_goes_on_after_the_others_have_left() -> None:
    lm = small_lm()
    loose = Sampling(constrained=False, top_k=None, max_frames=60)
    long = Request(text_prompt(4), 3, "audio")
    short = [Request(text_prompt(60), number, "audio") for number in range(5)]
    engine = Engine(lm, loose, slots=6)
    answers = run(engine, [*short, long])
    assert max(answer.frames for answer in answers[:-1]) == 5
    assert answers[-1].frames > 50
    assert same(answers[-1], alone(lm, long, loose))


def test_a_row_at_the_end_of_the_context_waits_there_until_it_is_read() -> None:
    lm, loose = small_lm(), Sampling(constrained=False, top_k=None, max_frames=9)
    row = Request(text_prompt(60), 1, "audio")
    (answer,) = run(Engine(lm, loose, slots=1, lag=8), [row])
    assert answer.frames == 5
    assert same(answer, alone(lm, row, loose))


# ---- what is computed ------------------------------------------------------------------------


def test_text_rows_run_neither_experts_nor_local_decoder() -> None:
    lm = small_lm()
    ran = []
    for name in ("understanding_expert", "generation_expert", "local_decoder", "backbone"):
        stack = getattr(lm, name)
        stack.step = lambda *args, stack=stack, name=name, **more: (
            ran.append(name),
            type(stack).step(stack, *args, **more),
        )[1]
    run(Engine(lm, SAMPLED, slots=4), [Request(text_prompt(5, n), n, "text") for n in range(4)])
    assert set(ran) == {"backbone"}
    run(Engine(lm, SAMPLED, slots=4), [Request(text_prompt(5, n), n, "audio") for n in range(4)])
    assert set(ran) == {"backbone", "understanding_expert", "generation_expert", "local_decoder"}


def test_audio_rows_ask_for_the_reachable_part_of_the_head_and_no_text() -> None:
    lm = small_lm()
    spans = set()
    plain = lm._logits

    def noted(column: int, outputs: Tensor, rows: Tensor | None, first: int, stop: int) -> Tensor:
        spans.add((first, stop))
        return plain(column, outputs, rows, first, stop)

    lm._logits = noted  # type: ignore[method-assign]
    lm.text_head.forward = None  # type: ignore[assignment,method-assign]
    run(Engine(lm, SAMPLED, slots=4), [Request(text_prompt(5, n), n, "audio") for n in range(4)])
    card = CONFIG.reason_card
    assert spans == {(0, card), (card, CONFIG.audio_vocab)}


def test_memory_follows_need_not_the_context() -> None:
    config = CONFIG.model_copy(update={"context": 2000})
    lm = small_lm(config=config)
    engine = Engine(lm, SAMPLED.model_copy(update={"max_frames": 300}), slots=2)
    engine.submit(Request(text_prompt(5), 0, "audio"))
    engine.step()
    assert engine.seats.cache.length < 100
    while not engine.is_idle:
        engine.step()
    assert engine.seats._cache is None, "an idle engine keeps nothing"


def test_cancelling_what_is_on_its_way_leaves_no_answer() -> None:
    loose = Sampling(constrained=False, top_k=None, max_frames=40)
    engine = Engine(small_lm(), loose, slots=2, lag=2)
    short, long = (engine.submit(Request(text_prompt(n), 3, "audio")) for n in (60, 4))
    while len(engine.live) != 1:
        engine.step()
    assert len(engine._results) == 1 and not engine.take()
    engine.cancel(short)
    while not engine.is_idle:
        engine.step()
    assert engine.take().keys() == {long}
    engine.cancel(long)  # too late, and nothing is remembered of it
    assert not (engine._begun or engine._cancelled)


def test_occupancy_counts_only_while_requests_wait() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=4)
    run(engine, [request(number) for number in range(4)])
    assert engine.occupancy.frames == 0 and engine.occupancy.share == 1.0
    run(engine, [Request(text_prompt(4, n), n, "audio") for n in range(40)])
    assert engine.occupancy.frames > 20
    assert engine.occupancy.share > 0.9


# ---- refusals --------------------------------------------------------------------------------


def test_no_slots() -> None:
    with pytest.raises(ValueError, match="0 slots cannot hold a row"):
        Engine(small_lm(), SAMPLED, slots=0)


def test_what_does_not_fit_is_refused_when_it_is_submitted() -> None:
    engine = Engine(small_lm(), SAMPLED, slots=1)
    with pytest.raises(ValueError, match="62 rows"):
        engine.submit(Request(text_prompt(62), 0, "audio"))
    assert engine.is_idle
