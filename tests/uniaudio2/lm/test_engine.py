"""Rows join and leave; what a row answers is what a plain loop would have answered alone."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.uniaudio2.lm.small import CONFIG, audio_prompt, same, small_lm, text_prompt
from tests.uniaudio2.lm.tape import Tapes
from uniaudio2.codes import PAIR, Stream
from uniaudio2.config import CODEBOOKS
from uniaudio2.frames import AUDIO, COLUMNS, TEXT, TEXT_COLUMN, Prompt
from uniaudio2.lm.engine import Engine
from uniaudio2.lm.grammar import Grammar, phases_of
from uniaudio2.lm.model import LogitsOf, UniAudioLM
from uniaudio2.lm.recording import recorder_for
from uniaudio2.lm.request import Generated, Request
from uniaudio2.lm.rows import Rows
from uniaudio2.lm.sampling import Sampling, choose

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


def test_a_shared_prefix_is_computed_once() -> None:
    lm, opening = small_lm(), text_prompt(20, seed=9)
    requests = [
        Request(Prompt.join([opening, text_prompt(2 + number, seed=number)]), number, "audio")
        for number in range(6)
    ]
    for sampling in (SAMPLED, SAMPLED.model_copy(update={"guidance": 2.0})):
        halves = 2 if sampling.guidance > 1 else 1
        engine = Engine(lm, sampling, slots=2)
        answers = run(engine, requests)
        assert engine.shelf.computed_rows == 20 * halves
        assert all(
            same(answer, plain)
            for answer, plain in zip(
                answers, [alone(lm, one, sampling) for one in requests], strict=True
            )
        )


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_known_prefix_is_computed_once_though_rows_come_one_by_one(guidance: float) -> None:
    lm, sampling = small_lm(), SAMPLED.model_copy(update={"guidance": guidance})
    # audio, then text: the text rows of the prompts themselves are behind audio
    prefix = Prompt.join([audio_prompt(3, 4, seed=9), text_prompt(4, seed=3)])
    rows = [
        Request(Prompt.join([prefix, text_prompt(2 + n % 3, seed=n)]), n, "audio") for n in range(5)
    ]
    engine = Engine(lm, sampling, slots=1, prefix=prefix)
    answers = run(engine, rows)
    assert engine.shelf.computed_rows == len(prefix) * engine.halves
    for row, answer in zip(rows, answers, strict=True):
        assert same(answer, alone(lm, row, sampling))
        if guidance == 1:
            assert same(answer, plain_loop(lm, row, sampling))
    other = Request(text_prompt(6), 3, "audio")  # and rows without it are answered, too
    assert same(run(engine, [other])[0], alone(lm, other, sampling))


def test_text_behind_audio_passes_the_experts_though_it_comes_in_a_piece_of_its_own() -> None:
    lm = small_lm()
    prompt = Prompt.join([audio_prompt(2, 3), text_prompt(9, seed=4)])
    row = Request(prompt, 5, "audio")
    engine = Engine(lm, SAMPLED, slots=1, prefill_rows=4)
    assert same(run(engine, [row])[0], plain_loop(lm, row, SAMPLED))


def test_another_prefix_replaces_the_one_that_is_remembered() -> None:
    lm = small_lm()
    requests = [
        Request(Prompt.join([text_prompt(12, seed), text_prompt(3, number)]), number, "text")
        for seed in (7, 8)
        for number in range(2)
    ]
    engine = Engine(lm, SAMPLED, slots=2)
    answers = run(engine, requests)
    assert engine.shelf.computed_rows in (12, 24)
    assert all(
        same(answer, alone(lm, one, SAMPLED)) for answer, one in zip(answers, requests, strict=True)
    )


def test_prefill_goes_on_piece_by_piece_while_rows_run() -> None:
    lm = small_lm()
    engine = Engine(lm, SAMPLED.model_copy(update={"max_frames": 30}), slots=2, prefill_rows=6)
    engine.submit(Request(text_prompt(3), 0, "audio"))
    engine.step()
    engine.submit(Request(text_prompt(40), 1, "audio"))
    engine.step()
    assert engine.joining is not None and engine.joining.at == 6
    assert len(engine.live) == 1
    frames = engine.live and int(engine.seats.rows.frames[0])
    engine.step()
    assert engine.joining.at == 12
    assert int(engine.seats.rows.frames[0]) == frames + 1


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


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("output", ["audio", "text"])
def test_recorded_frames_choose_what_frames_done_step_by_step_choose(
    output: Literal["audio", "text"], guidance: float
) -> None:
    """Prompts of many lengths: attention sees more and more, and the cache goes elsewhere."""
    lm = small_lm(config=CONFIG.model_copy(update={"context": 300}))
    sampling = Sampling(top_k=8, max_frames=70, guidance=guidance)
    requests = [Request(text_prompt(3 + 19 * (n % 8), n), n, output) for n in range(13)]
    want = run(Engine(lm, sampling, slots=5), requests)
    tapes = Tapes()
    engine = Engine(lm, sampling, slots=5, recorder=tapes, lag=1)
    for again in range(2):
        assert all(same(*pair) for pair in zip(run(engine, requests), want, strict=True))
        assert engine.recordings.recorder is tapes, "nothing could not be recorded"
        assert engine.seats.moves > 1
        assert tapes.plays > 40 * (again + 1) and len(tapes.tapes) < 25 * (again + 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_cuda_graphs_choose_what_plain_frames_choose(guidance: float) -> None:
    lm = small_lm(config=CONFIG.model_copy(update={"context": 300})).to("cuda")
    sampling = Sampling(top_k=8, max_frames=70, guidance=guidance)
    requests = [Request(text_prompt(3 + 19 * (n % 8), n), n, "audio") for n in range(13)]
    want = run(Engine(lm, sampling, slots=5), requests)
    engine = Engine(lm, sampling, slots=5, recorder=recorder_for(lm.device))
    assert all(same(*pair) for pair in zip(run(engine, requests), want, strict=True))
    assert engine.recordings.recorder is not None, "nothing could not be captured"


def test_rows_of_both_outputs_are_never_recorded() -> None:
    lm, tapes = small_lm(), Tapes()
    requests = [Request(text_prompt(3), 1, "text"), Request(text_prompt(3), 2, "audio")]
    engine = Engine(lm, SAMPLED, slots=2, recorder=tapes)
    for one in requests:
        engine.submit(one)
    while len(engine.live) < 2 and not engine.is_idle:
        engine.step()
    before = tapes.plays
    while len(engine.live) == 2:
        engine.step()
    assert tapes.plays == before


def test_an_engine_that_records_keeps_its_memory_and_needs_no_second_recording() -> None:
    lm, tapes = small_lm(), Tapes()
    engine = Engine(lm, SAMPLED, slots=2, recorder=tapes)
    run(engine, [request(number) for number in (2, 2)])
    made, cache = len(tapes.tapes), engine.seats.cache
    assert made > 0
    run(engine, [request(number) for number in (2, 2)])
    assert (len(tapes.tapes), engine.seats.cache) == (made, cache)


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
