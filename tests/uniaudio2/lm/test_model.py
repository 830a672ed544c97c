from __future__ import annotations

import pytest
import torch

from tests.uniaudio2.lm.small import CONFIG, audio_prompt, codes, small_lm, text_prompt
from uniaudio2.config import LmConfig
from uniaudio2.lm.kv_cache import LmCache
from uniaudio2.lm.model import LogitsFn, UniAudioLM
from uniaudio2.tokens.grid import AUDIO, TEXT, Prompt, pad_prompts, reason_positions

MIXED = Prompt.join([audio_prompt(3, 6), text_prompt(4), reason_positions(codes(2, 9, 7), CONFIG)])
PROMPTS = [MIXED, text_prompt(5), audio_prompt(2, 3, seed=4)]


def whole(lm: UniAudioLM, prompt: Prompt) -> torch.Tensor:
    """Hidden states of every position of one prompt, without cache or neighbours."""
    return lm.hidden(prompt.tokens[None], prompt.kind[None])[0]


def prefilled(lm: UniAudioLM, prompts: list[Prompt], room: int = 30) -> LmCache:
    tokens, kind, _ = pad_prompts(prompts)
    cache = lm.new_cache(len(prompts), room)
    lm.prefill(tokens[:, :-1], kind[:, :-1], cache)
    return cache


def test_prefill_and_steps_equal_the_whole_sequence_position_by_position() -> None:
    lm = small_lm()
    tokens, kind, lengths = pad_prompts(PROMPTS)
    cache = prefilled(lm, [Prompt(p.tokens[:-2], p.kind[:-2]) for p in PROMPTS])
    every = torch.arange(len(PROMPTS))
    for back in (3, 2, 1):  # the last position of the prefill is fed again, then two new ones
        at = lengths - back
        got = lm.step(tokens[every, at], kind[every, at], at, cache, int(at.max()) + 1)
        for row, prompt in enumerate(PROMPTS):
            want = whole(lm, prompt)[len(prompt) - back]
            torch.testing.assert_close(got[row], want, atol=1e-5, rtol=1e-4)


def test_kv_length_is_only_a_bound() -> None:
    lm = small_lm()
    at = torch.tensor([len(p) - 1 for p in PROMPTS])
    tokens, kind, _ = pad_prompts(PROMPTS)
    rows = torch.arange(len(PROMPTS))
    results = [
        lm.step(tokens[rows, at], kind[rows, at], at, prefilled(lm, PROMPTS), kv_length)
        for kv_length in (int(at.max()) + 1, 29, None)
    ]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-5, rtol=1e-4)


def test_text_prompts_leave_zeros_in_the_experts_as_running_them_would() -> None:
    lm, prompt = small_lm(), text_prompt(6)
    run = lm.new_cache(1, 6)
    lm.hidden(prompt.tokens[None, :-1], prompt.kind[None, :-1], run)
    skipped = prefilled(lm, [prompt], room=6)
    for stack in ("backbone", "understanding_expert", "generation_expert"):
        for part in ("keys", "values"):
            want, got = (getattr(getattr(cache, stack), part) for cache in (run, skipped))
            torch.testing.assert_close(got, want)
    assert skipped.understanding_expert.keys.eq(0).all()
    assert skipped.backbone.keys.count_nonzero()


def test_only_text_skips_the_experts_and_changes_nothing() -> None:
    lm, prompt = small_lm(), Prompt.join([audio_prompt(2, 3), text_prompt(5, seed=9)])
    calls = []
    lm.understanding_expert.step = lambda *args: calls.append(args)  # type: ignore[method-assign]
    cache = prefilled(lm, [Prompt(prompt.tokens[:-3], prompt.kind[:-3])])
    for at in range(len(prompt) - 4, len(prompt)):
        got = lm.step(
            prompt.tokens[at : at + 1],
            prompt.kind[at : at + 1],
            torch.tensor([at]),
            cache,
            only_text=True,
        )
        torch.testing.assert_close(got[0], whole(lm, prompt)[at], atol=1e-5, rtol=1e-4)
    assert not calls


def test_padding_is_zero() -> None:
    lm = small_lm()
    tokens, kind, _ = pad_prompts(PROMPTS)
    hidden = lm.hidden(tokens, kind)
    assert hidden[kind == 0].eq(0).all()
    torch.testing.assert_close(hidden[1, :5], whole(lm, PROMPTS[1]), atol=1e-5, rtol=1e-4)


def test_generated_frames_equal_teacher_forcing_on_its_own_choice() -> None:
    lm = small_lm()
    hidden = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    seen = []

    def sample(depth: int, logits_of: LogitsFn) -> torch.Tensor:
        assert len(seen) == depth
        logits = logits_of(None, 0, CONFIG.audio_vocab)
        some = logits_of(torch.tensor([2, 0]), 4, 9)
        torch.testing.assert_close(some, logits[[2, 0], 4:9])
        seen.append(logits)
        return logits.argmax(-1)

    frame = lm.generate_frame(hidden, sample)
    taught = lm.audio_logits(hidden, frame)
    torch.testing.assert_close(torch.stack(seen, 1), taught, atol=1e-5, rtol=1e-4)
    assert torch.equal(taught.argmax(-1), frame)


def test_teacher_forcing_predicts_audio_that_follows_a_position() -> None:
    lm = small_lm()
    tokens, kind, _ = pad_prompts(PROMPTS)
    taught = lm(tokens, kind)
    want = [
        (row, at) for row, prompt in enumerate(PROMPTS)
        for at in range(1, len(prompt)) if prompt.kind[at] == AUDIO
    ]  # fmt: skip
    assert taught.labels.tolist() == [tokens[row, at, :8].tolist() for row, at in want]
    assert taught.audio.shape == (len(want), 8, CONFIG.audio_vocab)
    assert taught.text.shape == (3, tokens.shape[1] - 1, CONFIG.text_vocab)
    before = torch.stack([whole(lm, PROMPTS[row])[at - 1] for row, at in want])
    torch.testing.assert_close(
        taught.audio, lm.audio_logits(before, taught.labels), atol=1e-4, rtol=1e-4
    )


def test_a_prompt_may_be_prefilled_in_chunks() -> None:
    lm = small_lm()
    tokens, kind, _ = pad_prompts(PROMPTS)
    at_once, in_chunks = (lm.new_cache(3, tokens.shape[1]) for _ in range(2))
    lm.prefill(tokens, kind, at_once)
    for start, stop in ((0, 2), (2, 3), (3, tokens.shape[1])):
        lm.prefill(tokens[:, start:stop], kind[:, start:stop], in_chunks, start)
    for name in ("backbone", "understanding_expert", "generation_expert"):
        whole_stack, pieces = getattr(at_once, name), getattr(in_chunks, name)
        torch.testing.assert_close(pieces.keys, whole_stack.keys, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pieces.values, whole_stack.values, atol=1e-5, rtol=1e-4)


def test_teacher_forcing_without_audio() -> None:
    prompt = text_prompt(5)
    taught = small_lm()(prompt.tokens[None], prompt.kind[None])
    assert taught.audio.shape == (0, 8, CONFIG.audio_vocab)
    assert taught.labels.shape == (0, 8)


def test_every_parameter_learns() -> None:
    lm = small_lm().requires_grad_(True)
    taught = lm(MIXED.tokens[None], MIXED.kind[None])
    (taught.text.square().mean() + taught.audio.square().mean()).backward()
    assert [name for name, p in lm.named_parameters() if p.grad is None] == []


def test_bfloat16_runs_and_stays_near() -> None:
    lm, want = small_lm().bfloat16(), whole(small_lm(), MIXED)
    got = whole(lm, MIXED)
    assert got.dtype == torch.bfloat16
    assert float((got.float() - want).norm() / want.norm()) < 0.1


@pytest.mark.parametrize(("layers", "parameters"), [(4, 4_359_685_120), (16, 5_089_543_168)])
def test_published_sizes(layers: int, parameters: int) -> None:
    """Published counts: without the audio vocabulary, and 40,960 for each of its ids."""
    published = LmConfig()
    local = published.local_decoder.model_copy(update={"layers": layers})
    config = published.model_copy(update={"local_decoder": local})
    with torch.device("meta"):
        lm = UniAudioLM(config)
    total = sum(parameter.numel() for parameter in lm.parameters())
    assert total == parameters + config.audio_vocab * 40_960


def test_text_ignores_audio_columns_and_audio_the_text_column() -> None:
    lm = small_lm()
    noisy = MIXED.tokens.clone()
    noisy[MIXED.kind == TEXT, :8] = 3
    noisy[MIXED.kind == AUDIO, 8] = 77
    torch.testing.assert_close(whole(lm, Prompt(noisy, MIXED.kind)), whole(lm, MIXED))
