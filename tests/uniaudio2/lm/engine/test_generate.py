from __future__ import annotations

from typing import Literal

import pytest
import torch

from tests.uniaudio2.lm.small import (
    CONFIG,
    IDS,
    REASON_EOS,
    SEMANTIC_EOS,
    ScriptedLm,
    audio_prompt,
    same,
    small_lm,
    text_prompt,
)
from uniaudio2.lm.engine.generate import generate
from uniaudio2.lm.engine.request import Request, RequestOutput
from uniaudio2.lm.sampling.grammar import phases_of
from uniaudio2.lm.sampling.sampling import Sampling
from uniaudio2.tokens.grid import Prompt, unconditional
from uniaudio2.tokens.streams import PAIR

PUBLISHED = Sampling(greedy=True, constrained=False, max_frames=20)
SAMPLED = Sampling(top_k=8, max_frames=16)
R = [[number] * 8 for number in range(9)]
S = [[CONFIG.reason_card + number] * 8 for number in range(11)]

Output = Literal["audio", "text"]


def requests(output: Output = "audio") -> list[Request]:
    """Prompts of four lengths, with and without audio."""
    prompts = [
        text_prompt(6),
        audio_prompt(3, 7),
        text_prompt(2, seed=1),
        audio_prompt(1, 2, seed=2),
    ]
    return [Request(prompt, 100 + row, output) for row, prompt in enumerate(prompts)]


def scripted(*frames: list[int], sampling: Sampling = PUBLISHED) -> RequestOutput:
    (answer,) = generate(ScriptedLm(list(frames)), [Request(text_prompt(4), 0, "audio")], sampling)
    return answer


# ---- what is answered depends on the request alone -------------------------------------------


@pytest.mark.parametrize("output", ["audio", "text"])
@pytest.mark.parametrize(
    "sampling",
    [
        SAMPLED,
        SAMPLED.model_copy(update={"constrained": False}),
        SAMPLED.model_copy(update={"greedy": True}),
        SAMPLED.model_copy(update={"guidance": 1.5}),
    ],
    ids=["sampled", "published", "greedy", "guided"],
)
def test_requests_are_answered_as_if_alone_in_any_order(output: Output, sampling: Sampling) -> None:
    lm, rows = small_lm(), requests(output)
    alone = [generate(lm, [row], sampling)[0] for row in rows]
    together = generate(lm, rows, sampling)
    backwards = generate(lm, rows[::-1], sampling)[::-1]
    for row in range(len(rows)):
        assert same(together[row], alone[row]), f"row {row}"
        assert same(backwards[row], alone[row]), f"row {row}"
    if sampling.constrained and not sampling.greedy:
        assert len({answer.steps for answer in alone}) > 1, "answers must end at different steps"


def test_audio_and_text_outputs_in_one_call() -> None:
    lm = small_lm()
    spoken, written = requests("audio")[1], requests("text")[1]
    mixed = generate(lm, [written, spoken, written], SAMPLED)
    assert same(mixed[0], mixed[2])
    assert same(mixed[0], generate(lm, [written], SAMPLED)[0])
    assert same(mixed[1], generate(lm, [spoken], SAMPLED)[0])
    assert mixed[0].codes.reason.shape == (0, 8) and mixed[0].text_ids
    assert mixed[1].text_ids == [] and len(mixed[1].codes.recon)


def test_the_seed_of_a_request_decides_its_draws() -> None:
    lm, prompt = small_lm(), text_prompt(6)
    one, other, again = generate(
        lm, [Request(prompt, seed, "audio") for seed in (1, 2, 1)], SAMPLED
    )
    assert same(one, again)
    assert not same(one, other)


def test_neither_the_global_generator_nor_the_model_is_touched() -> None:
    lm = small_lm()
    before, weights = torch.random.get_rng_state(), lm.state_dict()
    generate(lm, requests(), SAMPLED)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in small_lm().state_dict().items():
        assert torch.equal(weights[name], tensor)


def test_no_requests() -> None:
    assert generate(small_lm(), [], SAMPLED) == []


# ---- the published loops and their hazards ---------------------------------------------------


def test_the_published_audio_loop() -> None:
    answer = scripted(R[0], R[4], R[5], REASON_EOS, S[0], S[7], SEMANTIC_EOS)
    assert answer.codes.reason.tolist() == [R[4], R[5]]
    assert answer.codes.recon.tolist() == [[7] * 8]
    assert (answer.finish_reason, answer.steps) == ("stop", 7)


def test_semantic_eos_in_the_reason_phase_ends_without_reconstruction() -> None:
    answer = scripted(R[0], R[4], SEMANTIC_EOS)
    assert answer.codes.reason.tolist() == [R[4]]
    assert answer.codes.recon.shape == (0, 8)
    assert (answer.finish_reason, answer.steps) == ("stop", 3)


@pytest.mark.parametrize(
    "frames", [[SEMANTIC_EOS], [R[0], SEMANTIC_EOS], [REASON_EOS, SEMANTIC_EOS]]
)
def test_nothing_generated_is_an_empty_answer(frames: list[list[int]]) -> None:
    answer = scripted(*frames)
    assert answer.codes.reason.shape == answer.codes.recon.shape == (0, 8)
    assert (answer.finish_reason, answer.steps) == ("stop", len(frames))


def test_a_reason_phase_that_never_ends_is_cut_and_says_so() -> None:
    answer = scripted(*[R[3]] * 20)
    assert len(answer.codes.reason) == 19
    assert answer.codes.recon.shape == (0, 8)
    assert (answer.finish_reason, answer.steps) == ("length", 20)


def test_the_reason_card_is_forbidden_after_the_switch() -> None:
    answer = scripted(R[0], REASON_EOS, R[3], R[3], SEMANTIC_EOS)
    assert answer.codes.recon.tolist() == [[0] * 8], "the smallest id of what is left"


def test_text_stops_at_eos_and_may_be_empty() -> None:
    row = Request(audio_prompt(1, 2), 0, "text")
    (answer,) = generate(ScriptedLm(text=[65, 66, IDS.text_eos]), [row], PUBLISHED)
    assert (answer.text_ids, answer.finish_reason, answer.steps) == ([65, 66], "stop", 3)
    (answer,) = generate(ScriptedLm(text=[IDS.text_eos]), [row], PUBLISHED)
    assert (answer.text_ids, answer.finish_reason, answer.steps) == ([], "stop", 1)
    (answer,) = generate(ScriptedLm(text=[65] * 20), [row], PUBLISHED)
    assert (answer.text_ids, answer.finish_reason) == ([65] * 20, "length")


# ---- constrained -----------------------------------------------------------------------------


def test_constrained_answers_are_what_the_codec_can_decode() -> None:
    lm = small_lm()
    rows = [Request(text_prompt(3 + n % 4, n), n, "audio") for n in range(24)]
    reasons = set()
    for most in (5, 6, 9, 16):
        for answer in generate(lm, rows, SAMPLED.model_copy(update={"max_frames": most})):
            reason, recon = answer.codes.reason, answer.codes.recon
            assert 1 <= len(reason) <= phases_of(PAIR, None, most).reason_limit
            assert len(recon) >= 1
            assert int(reason.max()) < CONFIG.reason_codes and int(reason.min()) >= 0
            assert int(recon.max()) < CONFIG.semantic_codes and int(recon.min()) >= 0
            markers = 4 if answer.steps < most or answer.finish_reason == "stop" else 3
            assert answer.steps in (
                len(reason) + len(recon) + markers,
                len(reason) + len(recon) + 4,
            )
            assert answer.steps <= most
            reasons.add(answer.finish_reason)
    assert reasons == {"stop", "length"}


def test_a_constrained_answer_cannot_be_emptied() -> None:
    """The model wants to end each phase at once, and to open them with the wrong frames."""
    strict = PUBLISHED.model_copy(update={"constrained": True})
    script = [SEMANTIC_EOS, REASON_EOS, REASON_EOS, R[2], SEMANTIC_EOS, SEMANTIC_EOS]
    answer = scripted(*script, sampling=strict)
    assert len(answer.codes.reason) == 1 and len(answer.codes.recon) == 1
    assert (answer.finish_reason, answer.steps) == ("stop", 6)


def test_partial_markers_become_whole_or_nothing() -> None:
    strict = PUBLISHED.model_copy(update={"constrained": True})
    ends_alone = [REASON_EOS[0], *[4] * 7]  # codebook 0 ends the phase
    ends_elsewhere = [4, *REASON_EOS[1:]]  # the others may not
    script = [R[0], R[4], ends_elsewhere, ends_alone, S[0], S[7], SEMANTIC_EOS]
    answer = scripted(*script, sampling=strict)
    assert answer.codes.reason.tolist() == [R[4], [4, *[0] * 7]]
    assert answer.codes.recon.tolist() == [[7] * 8]
    assert answer.finish_reason == "stop"


def test_a_forced_switch_yields_audio_and_says_length() -> None:
    strict = PUBLISHED.model_copy(update={"constrained": True, "reason_limit": 2})
    script = [R[0], R[1], R[2], R[3], S[0], S[7], SEMANTIC_EOS]
    answer = scripted(*script, sampling=strict)
    assert answer.codes.reason.tolist() == [R[1], R[2]]
    assert answer.codes.recon.tolist() == [[7] * 8]
    assert (answer.finish_reason, answer.steps) == ("length", 7)


# ---- guidance --------------------------------------------------------------------------------


def test_guidance_replaces_the_prompt_with_padding_unless_given_another() -> None:
    lm, prompt = small_lm(), audio_prompt(2, 4)
    guided = SAMPLED.model_copy(update={"guidance": 2.0})
    blank = unconditional(prompt, CONFIG)
    other = text_prompt(9, seed=5)
    implied, stated, different = generate(
        lm,
        [
            Request(prompt, 1, "audio"),
            Request(prompt, 1, "audio", blank),
            Request(prompt, 1, "audio", other),
        ],
        guided,
    )
    assert same(implied, stated)
    assert not same(implied, different)
    (unguided,) = generate(lm, [Request(prompt, 1, "audio", other)], SAMPLED)
    assert not same(implied, unguided)


def test_guidance_towards_itself_changes_nothing() -> None:
    lm, prompt = small_lm(), audio_prompt(2, 4)
    guided = SAMPLED.model_copy(update={"guidance": 3.0})
    (plain,) = generate(lm, [Request(prompt, 1, "audio")], SAMPLED)
    (same_both,) = generate(lm, [Request(prompt, 1, "audio", prompt)], guided)
    assert same(plain, same_both)


# ---- limits ----------------------------------------------------------------------------------


def test_a_request_may_fill_the_context_to_its_last_position() -> None:
    lm = small_lm()
    loose = Sampling(constrained=False, top_k=None, max_frames=9)
    for length in (57, 60):
        long, short = (Request(text_prompt(rows), 0, "audio") for rows in (length, 3))
        full, *others = generate(lm, [long, *[short] * 5], loose)  # one in six is not dropped
        assert full.steps == 65 - length < others[0].steps
        assert full.finish_reason == "length"
        assert same(full, generate(lm, [long], loose)[0])
        assert same(others[-1], generate(lm, [short], loose)[0])


def test_too_long_prompts_are_refused_before_anything_runs() -> None:
    lm = small_lm()
    lm.prefill = None  # type: ignore[assignment,method-assign]
    rows = [Request(text_prompt(3), 0, "audio"), Request(text_prompt(62), 0, "audio")]
    with pytest.raises(ValueError, match="62 positions"):
        generate(lm, rows, SAMPLED)


def test_a_too_long_unconditional_prompt_is_refused_only_when_it_would_run() -> None:
    lm, row = small_lm(), Request(text_prompt(3), 0, "audio", text_prompt(62))
    assert len(generate(lm, [row], SAMPLED)[0].codes.recon)
    with pytest.raises(ValueError, match="62 positions"):
        generate(lm, [row], SAMPLED.model_copy(update={"guidance": 2.0}))


def test_top_k_is_refused_before_anything_runs_not_after_the_switch() -> None:
    with pytest.raises(ValueError, match="top_k 16 must be at most 15"):
        generate(ScriptedLm([]), [Request(text_prompt(3), 0, "audio")], Sampling(top_k=16))


def test_constrained_audio_needs_five_steps() -> None:
    short = Sampling(greedy=True, max_frames=4)
    with pytest.raises(ValueError, match="max_frames 4 must be at least 5 for audio"):
        generate(small_lm(), [Request(text_prompt(3), 0, "audio")], short)
    assert generate(small_lm(), [Request(text_prompt(3), 0, "text")], short)[0].steps <= 4


def test_a_prompt_of_one_position() -> None:
    prompt = text_prompt(1)
    assert isinstance(prompt, Prompt)
    (answer,) = generate(small_lm(), [Request(prompt, 0, "audio")], SAMPLED)
    assert len(answer.codes.recon)
