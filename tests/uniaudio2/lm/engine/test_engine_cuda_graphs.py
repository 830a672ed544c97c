"""Captured steps choose what eager steps choose."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from tests.uniaudio2.lm.answers import SAMPLED, request, run
from tests.uniaudio2.lm.small import CONFIG, same, small_lm, text_prompt
from tests.uniaudio2.lm.tape_capture import TapeCapture
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import graph_capture_for


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("output", ["audio", "text"])
def test_captured_steps_choose_what_eager_steps_choose(
    output: Literal["audio", "text"], guidance: float
) -> None:
    """Prompts of many lengths: attention reads more and more, and the cache goes elsewhere."""
    lm = small_lm(config=CONFIG.model_copy(update={"context": 300}))
    sampling = Sampling(top_k=8, max_frames=70, guidance=guidance)
    requests = [Request(text_prompt(3 + 19 * (n % 8), n), n, output) for n in range(13)]
    want = run(Engine(lm, sampling, slots=5), requests)
    tapes = TapeCapture()
    engine = Engine(lm, sampling, slots=5, graph_capture=tapes, copy_lag=1)
    for again in range(2):
        assert all(same(*pair) for pair in zip(run(engine, requests), want, strict=True))
        assert engine.graphs.graph_capture is tapes, "all could be captured"
        assert engine.batch.cache_version > 1
        assert tapes.replays > 40 * (again + 1) and len(tapes.tapes) < 25 * (again + 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_cuda_graphs_choose_what_eager_steps_choose(guidance: float) -> None:
    lm = small_lm(config=CONFIG.model_copy(update={"context": 300})).to("cuda")
    sampling = Sampling(top_k=8, max_frames=70, guidance=guidance)
    requests = [Request(text_prompt(3 + 19 * (n % 8), n), n, "audio") for n in range(13)]
    want = run(Engine(lm, sampling, slots=5), requests)
    engine = Engine(lm, sampling, slots=5, graph_capture=graph_capture_for(lm.device))
    assert all(same(*pair) for pair in zip(run(engine, requests), want, strict=True))
    assert engine.graphs.graph_capture is not None, "all could be captured"


def test_steps_of_both_outputs_are_never_captured() -> None:
    lm, tapes = small_lm(), TapeCapture()
    requests = [Request(text_prompt(3), 1, "text"), Request(text_prompt(3), 2, "audio")]
    engine = Engine(lm, SAMPLED, slots=2, graph_capture=tapes)
    for one in requests:
        engine.add_request(one)
    while len(engine.running) < 2 and engine.has_unfinished_requests():
        engine.step()
    before = tapes.replays
    while len(engine.running) == 2:
        engine.step()
    assert tapes.replays == before


def test_an_engine_that_captures_keeps_its_memory_and_needs_no_second_capture() -> None:
    lm, tapes = small_lm(), TapeCapture()
    engine = Engine(lm, SAMPLED, slots=2, graph_capture=tapes)
    run(engine, [request(number) for number in (2, 2)])
    made, cache = len(tapes.tapes), engine.batch.cache
    assert made > 0
    run(engine, [request(number) for number in (2, 2)])
    assert (len(tapes.tapes), engine.batch.cache) == (made, cache)
