"""A step of the published sizes on another device: no waiting, and no mixing of devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.uniaudio2.elsewhere import ELSEWHERE, moved_elsewhere
from uniaudio2.config import LmConfig
from uniaudio2.lm.engine.decode_batch import StepShape
from uniaudio2.lm.engine.decode_buffers import DecodeBuffers
from uniaudio2.lm.engine.decode_step import DecodeStep, slots_by_output
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.grammar import Grammar
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import without_sync


def run_step(
    output: Literal["audio", "text"], sampling: Sampling, config: LmConfig, only_text: bool = False
) -> DecodeBuffers:
    """A step of the published sizes in bf16."""
    lm = moved_elsewhere(UniAudioLM(config), torch.bfloat16)
    per_request = sampling.sequences_per_request
    buffers = DecodeBuffers.allocate(lm, 8, per_request, max_steps=100)
    cache = lm.new_cache(8 * per_request, 256)
    shape = StepShape(8, 192, only_text, output)
    with without_sync():
        DecodeStep(lm, sampling).run(buffers, cache, shape)
    return buffers


@pytest.mark.slow
@pytest.mark.parametrize("only_text", [False, True])
@pytest.mark.parametrize("output", ["audio", "text"])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(greedy=True),
        Sampling(top_k=None, guidance=1.5),
        Sampling(constrained=False),
        Sampling(no_repeat_ngram_size=3, repetition_penalty=1.2),
    ],
    ids=["sampled", "greedy", "guided", "published rule", "penalised"],
)
def test_a_step_reads_nothing_back_and_mixes_no_devices(
    output: Literal["audio", "text"], sampling: Sampling, only_text: bool
) -> None:
    """Reading one number on the host, or adding memory of the host, raises here."""
    with FakeTensorMode(), torch.inference_mode():
        buffers = run_step(output, sampling, LmConfig(), only_text)
    finished, positions = buffers.state.finished, buffers.positions
    assert buffers.generated.device == finished.device == positions.device == ELSEWHERE
    assert buffers.tokens.shape == (8 * (2 if sampling.guidance > 1 else 1), 9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda stops: stops & bool(stops.any()), "_local_scalar_dense"),
        (lambda stops: stops & torch.ones(8, dtype=torch.bool), "at least two devices"),
    ],
)
def test_what_must_not_be_is_noticed(
    spoil: Callable[[Tensor], Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Grammar.advance
    monkeypatch.setattr(
        Grammar, "advance", lambda self, frame, state: spoil(plain(self, frame, state))
    )
    with (
        FakeTensorMode(),
        torch.inference_mode(),
        pytest.raises(RuntimeError, match=message),
    ):
        run_step("audio", Sampling(), LmConfig())


@pytest.mark.parametrize("start", [0, 16])
def test_prompts_too(start: int) -> None:
    """Their kind is on the host, where it is looked at."""
    with FakeTensorMode(), torch.inference_mode():
        lm = moved_elsewhere(UniAudioLM(LmConfig()), torch.bfloat16)
        cache = lm.new_cache(3, 64)
        tokens = torch.zeros(3, 20, 9, dtype=torch.int64, device=ELSEWHERE)
        kind = torch.ones(3, 20, dtype=torch.uint8)
        lm.prefill(tokens, kind, cache, start, after_audio=True)


def test_slots_are_told_apart_where_outputs_differ() -> None:
    cpu = torch.device("cpu")
    assert slots_by_output(["text", "text"], cpu) is None
    slots = slots_by_output(["text", "audio", "text"], cpu)
    assert slots and [one.tolist() for one in slots] == [[1], [0, 2]]
