"""What keeps texts from repeating themselves, against a loop over one answer at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uniaudio2.lm.small import IDS, ScriptedLm, audio_prompt, same, small_lm, text_prompt
from uniaudio2.lm.engine.engine import Engine
from uniaudio2.lm.engine.generate import generate
from uniaudio2.lm.engine.request import Request
from uniaudio2.lm.sampling.logits_processors import logits_processors
from uniaudio2.lm.sampling.sampling import Sampling

VOCABULARY = 6


def process(
    logits: torch.Tensor, sampling: Sampling, history: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    for one in logits_processors(sampling):
        logits = one(logits, history, lengths)
    return logits


def plain(logits: list[float], sampling: Sampling, past: list[int]) -> list[float]:
    """One answer, in plain Python."""
    penalty, size = sampling.repetition_penalty, sampling.no_repeat_ngram_size
    out = list(logits)
    for word in set(past):
        out[word] = out[word] / penalty if out[word] > 0 else out[word] * penalty
    if size is not None:
        grams = {tuple(past[at : at + size]) for at in range(len(past) - size + 1)}
        for word in range(len(out)):
            if len(past) >= size - 1 and (*past[len(past) - size + 1 :], word) in grams:
                out[word] = -math.inf
    return out


@settings(deadline=None, max_examples=40)
@given(
    pasts=st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=12), min_size=1, max_size=5),
    size=st.sampled_from([None, 2, 3, 4]),
    penalty=st.sampled_from([1.0, 1.3, 2.0]),
    seed=st.integers(0, 99),
)
def test_every_answer_is_changed_by_its_own_past(
    pasts: list[list[int]], size: int | None, penalty: float, seed: int
) -> None:
    sampling = Sampling(no_repeat_ngram_size=size, repetition_penalty=penalty)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(pasts), VOCABULARY, generator=generator)
    longest = max(map(len, pasts))
    # whatever lies beyond an answer's length may not matter
    history = torch.randint(0, VOCABULARY, (len(pasts), longest), generator=generator)
    for row, past in enumerate(pasts):
        history[row, : len(past)] = torch.tensor(past, dtype=torch.int64)
    lengths = torch.tensor([len(past) for past in pasts])
    got = process(logits, sampling, history, lengths)
    want = [plain(row.tolist(), sampling, past) for row, past in zip(logits, pasts, strict=True)]
    torch.testing.assert_close(got, torch.tensor(want))


def test_what_is_banned_gives_way_to_the_next_best() -> None:
    """Not to a marker, whatever the next best would have been."""
    history = torch.tensor([[1, 2, 1, 2, 1]])
    logits = torch.tensor([[0.0, 1.0, 9.0, 5.0, 0.0, 0.0]])
    processed = process(logits, Sampling(no_repeat_ngram_size=2), history, torch.tensor([5]))
    assert int(processed.argmax()) == 3


PENALISED = Sampling(greedy=True, max_frames=24, no_repeat_ngram_size=3, repetition_penalty=1.2)


def test_a_loop_is_broken_in_the_engine() -> None:
    row = Request(audio_prompt(1, 2), 0, "text")
    script = [65, 66, 67, 65, 66, 67, 65, 66]
    loose = Sampling(greedy=True, max_frames=8)
    (free,) = generate(ScriptedLm(text=script), [row], loose)
    assert free.text_ids == script
    held = loose.model_copy(update={"no_repeat_ngram_size": 3})
    (answer,) = generate(ScriptedLm(text=script), [row], held)
    grams = [tuple(answer.text_ids[at : at + 3]) for at in range(len(answer.text_ids) - 2)]
    assert answer.text_ids[:5] == script[:5]
    assert len(set(grams)) == len(grams)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_penalised_requests_are_answered_as_if_alone(guidance: float) -> None:
    lm, sampling = small_lm(), PENALISED.model_copy(update={"guidance": guidance})
    requests = [
        Request(audio_prompt(1, 2, n) if n % 2 else text_prompt(3 + n, n), n, "text")
        for n in range(7)
    ]
    alone = [generate(lm, [one], sampling)[0] for one in requests]
    for slots in (2, 7):
        for one, answer in zip(generate(lm, requests, sampling, slots), alone, strict=True):
            assert same(one, answer)
    assert max(answer.steps for answer in alone) > 8
    unpenalised = generate(lm, requests, Sampling(greedy=True, max_frames=24, guidance=guidance))
    assert any(not same(one, answer) for one, answer in zip(unpenalised, alone, strict=True))


def test_a_processor_that_never_bans_changes_nothing_behind_an_audio_prompt() -> None:
    """Decoding with processors fills every cache of the prompt, the experts' too."""
    lm, row = small_lm(), Request(audio_prompt(3, 5), 1, "text")
    never_bans = Sampling(greedy=True, max_frames=12, no_repeat_ngram_size=13)
    (processed,) = generate(lm, [row], never_bans)
    (plainly,) = generate(lm, [row], Sampling(greedy=True, max_frames=12))
    assert same(processed, plainly)


def test_sounds_are_refused_where_texts_are_penalised() -> None:
    engine = Engine(small_lm(), PENALISED, slots=2)
    engine.add_request(Request(text_prompt(3), 0, "text"))
    with pytest.raises(ValueError, match="this task yields audio: leave them out"):
        engine.add_request(Request(text_prompt(3), 0, "audio"))


def test_the_end_is_never_banned() -> None:
    row = Request(text_prompt(3), 0, "text")
    (answer,) = generate(ScriptedLm(text=[65, 66, IDS.text_eos]), [row], PENALISED)
    assert (answer.text_ids, answer.finish_reason) == ([65, 66], "stop")
