"""Requests join and leave; each is answered what a plain loop would have answered it alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.uniaudio2.lm.answers import SAMPLED, alone, expected, plain_loop, request, run
from tests.uniaudio2.lm.small import CONFIG, same, small_lm, text_prompt
from tests.uniaudio2.lm.tape_capture import TapeCapture
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.sampling.sampling import Sampling


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    numbers=st.lists(st.integers(0, 14), min_size=1, max_size=9),
    slots=st.integers(1, 5),
    max_prefill_positions=st.sampled_from([1, 7, 4096]),
    lag=st.integers(0, 3),
    group_size=st.integers(1, 4),
    captured=st.booleans(),
    greedy=st.booleans(),
)
def test_any_schedule_answers_as_the_plain_loop(
    numbers: list[int],
    slots: int,
    max_prefill_positions: int,
    lag: int,
    group_size: int,
    captured: bool,
    greedy: bool,
) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"greedy": greedy})
    graph_capture = TapeCapture() if captured else None
    engine = Engine(
        lm, sampling, slots, max_prefill_positions, graph_capture=graph_capture, copy_lag=lag
    )
    engine.scheduler.group_size = group_size
    requests = [request(number) for number in numbers]
    for number, answer in zip(numbers, run(engine, requests), strict=True):
        assert same(answer, expected(number, greedy))


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_how_probable_tokens_were_is_told_of_the_same_answers(greedy: bool, captured: bool) -> None:
    """Whatever runs beside them, by the logits of a loop without batch and cache; markers that the
    grammar gives are not counted."""
    lm = small_lm()
    sampling = SAMPLED.model_copy(update={"greedy": greedy, "logprobs": True})
    requests = [request(number) for number in range(10)]
    engine = Engine(lm, sampling, slots=3, graph_capture=TapeCapture() if captured else None)
    for number, (one, answer) in enumerate(zip(requests, run(engine, requests), strict=True)):
        assert same(answer, expected(number, greedy))
        told = plain_loop(lm, one, sampling).mean_logprob
        assert answer.mean_logprob == pytest.approx(told, abs=1e-5)
        assert answer.mean_logprob is not None
        assert answer.mean_logprob < 0
    assert expected(0, greedy).mean_logprob is None
    assert alone(lm, requests[0], SAMPLED).mean_logprob is None


def test_requests_join_a_running_batch_and_take_the_slots_of_those_that_left() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=3)
    first = [request(number) for number in range(6)]
    request_ids = {engine.add_request(one): one for one in first}
    for _ in range(4):
        engine.step()
        assert len(engine.running) <= 3
    late = [request(number) for number in range(6, 10)]
    request_ids |= {engine.add_request(one): one for one in late}
    outputs: dict[int, RequestOutput] = {}
    while engine.has_unfinished_requests():
        engine.step()
        outputs |= engine.pop_finished_outputs()
    assert outputs.keys() == request_ids.keys()
    for request_id, one in request_ids.items():
        assert same(outputs[request_id], alone(lm, one, SAMPLED))


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_guided_requests_keep_their_sequences_together_when_they_move(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    requests = [request(number) for number in range(11)]
    for slots in (1, 4, 11):
        for one, answer in zip(requests, run(Engine(lm, sampling, slots), requests), strict=True):
            assert same(answer, alone(lm, one, sampling))


@pytest.mark.slow
def test_an_aborted_request_answers_nothing_and_disturbs_nobody() -> None:
    lm = small_lm()
    requests = [request(number) for number in range(7)]
    for when in range(6):
        engine = Engine(lm, SAMPLED, slots=2, max_prefill_positions=5)
        request_ids = [engine.add_request(one) for one in requests]
        for _ in range(when):
            engine.step()
        engine.abort_request(request_ids[0])  # running, in prefill or finished
        engine.abort_request(request_ids[-1])  # still waiting
        while engine.has_unfinished_requests():
            engine.step()
        outputs = engine.pop_finished_outputs()
        assert set(outputs) == set(request_ids[1:-1])
        assert all(
            same(outputs[request_id], alone(lm, one, SAMPLED))
            for request_id, one in zip(request_ids[1:-1], requests[1:-1], strict=True)
        )


def test_an_idle_engine_can_be_used_again() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=2)
    once = run(engine, [request(3), request(4)])
    again = run(engine, [request(4), request(3)])
    assert same(once[0], again[1]) and same(once[1], again[0])
    assert engine.pop_finished_outputs() == {}


def test_the_longest_request_goes_on_after_the_others_have_left() -> None:
    lm = small_lm()
    loose = Sampling(constrained=False, top_k=None, max_frames=60)
    long = Request(text_prompt(4), 3, "audio")
    short = [Request(text_prompt(60), number, "audio") for number in range(5)]
    engine = Engine(lm, loose, slots=6)
    outputs = run(engine, [*short, long])
    assert max(output.steps for output in outputs[:-1]) == 5
    assert outputs[-1].steps > 50
    assert same(outputs[-1], alone(lm, long, loose))


def test_a_request_at_the_end_of_the_context_waits_there_until_it_is_read() -> None:
    lm, loose = small_lm(), Sampling(constrained=False, top_k=None, max_frames=9)
    long = Request(text_prompt(60), 1, "audio")
    (output,) = run(Engine(lm, loose, slots=1, copy_lag=8), [long])
    assert output.steps == 5
    assert same(output, alone(lm, long, loose))


# ---- what is computed ------------------------------------------------------------------------


def test_text_requests_run_neither_experts_nor_local_decoder() -> None:
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


def test_audio_requests_ask_for_the_reachable_part_of_the_head_and_no_text() -> None:
    lm = small_lm()
    ranges = set()
    plain = lm._logits

    def noted(
        depth: int, outputs: Tensor, sequences: Tensor | None, first: int, stop: int
    ) -> Tensor:
        ranges.add((first, stop))
        return plain(depth, outputs, sequences, first, stop)

    lm._logits = noted  # type: ignore[method-assign]
    lm.text_head.forward = None  # type: ignore[assignment,method-assign]
    run(Engine(lm, SAMPLED, slots=4), [Request(text_prompt(5, n), n, "audio") for n in range(4)])
    card = CONFIG.reason_card
    assert ranges == {(0, card), (card, CONFIG.audio_vocab)}


def test_memory_follows_need_not_the_context() -> None:
    config = CONFIG.model_copy(update={"context": 2000})
    lm = small_lm(config=config)
    engine = Engine(lm, SAMPLED.model_copy(update={"max_frames": 300}), slots=2)
    engine.add_request(Request(text_prompt(5), 0, "audio"))
    engine.step()
    assert engine.batch.cache.length < 100
    while engine.has_unfinished_requests():
        engine.step()
    assert engine.batch._cache is None, "an idle engine keeps nothing"


def test_aborting_what_is_on_its_way_leaves_no_answer() -> None:
    loose = Sampling(constrained=False, top_k=None, max_frames=40)
    engine = Engine(small_lm(), loose, slots=2, copy_lag=2)
    short, long = (engine.add_request(Request(text_prompt(n), 3, "audio")) for n in (60, 4))
    while len(engine.running) != 1:
        engine.step()
    assert len(engine._results) == 1 and not engine.pop_finished_outputs()
    engine.abort_request(short)
    while engine.has_unfinished_requests():
        engine.step()
    assert engine.pop_finished_outputs().keys() == {long}
    engine.abort_request(long)  # too late, and nothing is remembered of it
    assert not (engine._admitted or engine._aborted)


def test_occupancy_counts_only_while_requests_wait() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED, slots=4)
    run(engine, [request(number) for number in range(4)])
    assert engine.scheduler._contended_steps == 0 and engine.scheduler.occupancy == 1.0
    run(engine, [Request(text_prompt(4, n), n, "audio") for n in range(40)])
    assert engine.scheduler._contended_steps > 20
    assert engine.scheduler.occupancy > 0.9


# ---- refusals --------------------------------------------------------------------------------


def test_no_slots() -> None:
    with pytest.raises(ValueError, match="0 slots cannot hold a request"):
        Engine(small_lm(), SAMPLED, slots=0)


def test_what_does_not_fit_is_refused_when_it_is_added() -> None:
    engine = Engine(small_lm(), SAMPLED, slots=1)
    with pytest.raises(ValueError, match="62 positions"):
        engine.add_request(Request(text_prompt(62), 0, "audio"))
    assert not engine.has_unfinished_requests()
