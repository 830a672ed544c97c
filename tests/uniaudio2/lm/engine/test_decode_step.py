"""A frame of the published sizes on another device: no waiting, and no mixing of devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.uniaudio2.elsewhere import ELSEWHERE, moved_elsewhere
from uniaudio2.config import LmConfig
from uniaudio2.lm.engine.decode_batch import FrameShape, Seated
from uniaudio2.lm.engine.decode_step import FrameMaker, Outputs
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.sampling.grammar import Grammar
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.runtime.cuda_graphs import without_waiting


def make_frame(
    output: Literal["audio", "text"], sampling: Sampling, config: LmConfig, only_text: bool = False
) -> Seated:
    """A frame of the published sizes in bf16."""
    lm = moved_elsewhere(UniAudioLM(config), torch.bfloat16)
    maker = FrameMaker(lm, sampling)
    seated = Seated.vacant(lm, 8, maker.halves, frames=100)
    cache = lm.new_cache(8 * maker.halves, 256)
    shape = FrameShape(8, 192, only_text, output)
    with without_waiting():
        maker.make(seated, cache, shape, Outputs(output))
    return seated


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
    ids=["sampled", "greedy", "guided", "published rule", "guarded"],
)
def test_a_frame_reads_nothing_back_and_mixes_no_devices(
    output: Literal["audio", "text"], sampling: Sampling, only_text: bool
) -> None:
    """Reading one number on the host, or adding memory of the host, raises here."""
    with FakeTensorMode(), torch.inference_mode():
        seated = make_frame(output, sampling, LmConfig(), only_text)
    assert seated.chosen.device == seated.rows.done.device == seated.positions.device == ELSEWHERE
    assert seated.tokens.shape == (8 * (2 if sampling.guidance > 1 else 1), 9)


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
        Grammar, "advance", lambda self, frame, rows: spoil(plain(self, frame, rows))
    )
    with (
        FakeTensorMode(),
        torch.inference_mode(),
        pytest.raises(RuntimeError, match=message),
    ):
        make_frame("audio", Sampling(), LmConfig())


@pytest.mark.parametrize("start", [0, 16])
def test_prompts_too(start: int) -> None:
    """Their kind is on the host, where it is looked at."""
    with FakeTensorMode(), torch.inference_mode():
        lm = moved_elsewhere(UniAudioLM(LmConfig()), torch.bfloat16)
        cache = lm.new_cache(3, 64)
        tokens = torch.zeros(3, 20, 9, dtype=torch.int64, device=ELSEWHERE)
        kind = torch.ones(3, 20, dtype=torch.uint8)
        lm.prefill(tokens, kind, cache, start, after_audio=True)


def test_outputs() -> None:
    assert Outputs.of(["text", "text"], torch.device("cpu")) == Outputs("text")
    mixed = Outputs.of(["text", "audio", "text"], torch.device("cpu"))
    assert mixed.whole is None and mixed.audio is not None and mixed.text is not None
    assert (mixed.audio.tolist(), mixed.text.tolist()) == ([1], [0, 2])
