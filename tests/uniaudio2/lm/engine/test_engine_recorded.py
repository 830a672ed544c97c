"""Frames that are recorded choose what frames done step by step choose."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from tests.uniaudio2.lm.answers import SAMPLED, request, run
from tests.uniaudio2.lm.small import CONFIG, same, small_lm, text_prompt
from tests.uniaudio2.lm.tape import Tapes
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import recorder_for


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
