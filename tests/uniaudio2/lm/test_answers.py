"""Answers that are read again: what `read_answers` tells against the model's own arithmetic."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.uniaudio2.elsewhere import moved_elsewhere
from tests.uniaudio2.lm.small import CONFIG, audio_prompt, small_lm, text_prompt
from uniaudio2.config import LmConfig
from uniaudio2.lm.answers import read_answers, upper_heads
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.tokens.grid import AUDIO, Prompt, text_positions

PROMPTS = [audio_prompt(2, 5, 1), text_prompt(4, 2), audio_prompt(1, 2, 3)]
ANSWERS = [[260, 256, 5, 6, 7], [9], [260, 256, 11]]


def whole(prompt: Prompt, answer: list[int]) -> Prompt:
    return Prompt.join([prompt, text_positions(answer, CONFIG)])


def test_probabilities_are_those_of_teacher_forcing() -> None:
    lm = small_lm()
    for prompt, answer, read in zip(
        PROMPTS, ANSWERS, read_answers(lm, PROMPTS, ANSWERS, upper_heads(lm)), strict=True
    ):
        forced = whole(prompt, answer)
        with torch.inference_mode():
            logits = lm(forced.tokens[None], forced.kind[None]).text[0]
        own = logits.log_softmax(-1)[len(prompt) - 1 :]
        wanted = own[torch.arange(len(answer)), torch.tensor(answer)]
        torch.testing.assert_close(read.log_probabilities, wanted, atol=1e-5, rtol=1e-4)


def test_attention_is_a_mean_of_heads_over_the_prompt() -> None:
    lm = small_lm()
    heads = upper_heads(lm)
    assert heads == [(1, head) for head in range(6)]
    (read,) = read_answers(lm, PROMPTS[:1], ANSWERS[:1], heads)
    single = [read_answers(lm, PROMPTS[:1], ANSWERS[:1], [one])[0].attention for one in heads]
    assert read.attention.shape == (5, len(PROMPTS[0]))
    torch.testing.assert_close(read.attention, torch.stack(single).mean(0))
    sums = read.attention.sum(1)
    assert abs(sums[0] - 1) < 1e-5
    assert (sums[1:] < 1).all()  # the rest goes to the ids before


def test_an_answer_is_read_alike_alone_and_beside_longer_ones() -> None:
    lm = small_lm()
    together = read_answers(lm, PROMPTS, ANSWERS, [(0, 2), (1, 5)])
    for prompt, answer, read in zip(PROMPTS, ANSWERS, together, strict=True):
        (alone,) = read_answers(lm, [prompt], [answer], [(0, 2), (1, 5)])
        torch.testing.assert_close(read.attention, alone.attention, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(read.log_probabilities, alone.log_probabilities)


def test_full_size_models_read_answers_on_another_device() -> None:
    """No number is looked at before the result, and no tensor of another device is mixed in."""
    with FakeTensorMode():
        lm = moved_elsewhere(UniAudioLM(LmConfig()), torch.bfloat16)
        prompts = [
            Prompt(torch.zeros(length, 9, dtype=torch.int64), torch.full((length,), AUDIO))
            for length in (32, 82)
        ]
        read = read_answers(lm, prompts, [[5, 6, 7], [8]], upper_heads(lm))
    assert [one.attention.shape for one in read] == [(3, 32), (1, 82)]
    assert [one.log_probabilities.device.type for one in read] == ["cpu", "cpu"]
