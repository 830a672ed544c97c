from __future__ import annotations

import pytest
import torch

from tests.uniaudio2.lm.small import CONFIG, IDS, REASON_EOS, SEMANTIC_EOS
from uniaudio2.lm.sampling.decode_state import REASON, SEMANTIC, DecodeState, Phases
from uniaudio2.lm.sampling.grammar import Grammar, VocabRange, phases_of
from uniaudio2.tokens.streams import PAIR, Stream, shortest_answer

CARD, CPU = CONFIG.reason_card, torch.device("cpu")
STRICT = Grammar.build(CONFIG, True, CPU)
PUBLISHED = Grammar.build(CONFIG, False, CPU)
REASON_CODES = list(range(CONFIG.reason_codes))
RECON_CODES = list(range(CARD, CARD + CONFIG.semantic_codes))


def states(phase: list[int], phase_steps: list[int], limit: int = 4) -> DecodeState:
    plans = [Phases(first, 2 - first, limit, 9) for first in phase]
    made = DecodeState.start([0] * len(phase), [50] * len(phase), plans, CPU)
    made.phase_steps = torch.tensor(phase_steps)
    return made


def every_id(grammar: Grammar, depth: int, state: DecodeState) -> torch.Tensor:
    """`Grammar.allowed` of all requests, its ranges put together: ``[B, A]``."""
    whole = torch.zeros(len(state.phase), CONFIG.audio_vocab, dtype=torch.bool)
    for one in grammar.vocab_ranges(state):
        at = torch.arange(len(whole)) if one.slots is None else one.slots
        allowed = grammar.allowed(depth, state.select(at), one)
        whole[at, one.first : one.stop] = allowed
    return whole


def ids(allowed: torch.Tensor) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in allowed]


def test_strict_phases_allow_codes_and_their_own_end() -> None:
    state = states([REASON, REASON, SEMANTIC, SEMANTIC], [1, 2, 1, 2])
    semantic_end = IDS.semantic_eos + CARD
    assert ids(every_id(STRICT, 0, state)) == [
        REASON_CODES,
        [*REASON_CODES, IDS.reason_eos],
        RECON_CODES,
        [*RECON_CODES, semantic_end],
    ]
    assert ids(every_id(STRICT, 1, state)) == [REASON_CODES] * 2 + [RECON_CODES] * 2


def test_a_card_without_a_number_of_codes_is_allowed_whole_but_ends_no_sooner() -> None:
    whole = CONFIG.model_copy(update={"reason_codes": None, "semantic_codes": None})
    grammar, state = Grammar.build(whole, True, CPU), states([REASON, SEMANTIC], [1, 1])
    reason, semantic = ids(every_id(grammar, 0, state))
    assert reason == [id for id in range(CARD) if id != IDS.reason_eos]
    assert semantic == [
        id for id in range(CARD, CONFIG.audio_vocab) if id != IDS.semantic_eos + CARD
    ]


def test_the_published_rule_forbids_the_reason_card_in_the_semantic_phase_only() -> None:
    state = states([REASON, SEMANTIC], [0, 0])
    for depth in (0, 5):
        assert ids(every_id(PUBLISHED, depth, state)) == [
            list(range(CONFIG.audio_vocab)),
            list(range(CARD, CONFIG.audio_vocab)),
        ]
    frame = torch.tensor([[26] * 8, [13] * 8])
    assert PUBLISHED.force_markers(frame, state) is frame


def test_every_phase_begins_with_its_bos() -> None:
    got = STRICT.force_markers(torch.full((2, 8), 3), states([REASON, SEMANTIC], [0, 0]))
    assert got.tolist() == [[IDS.reason_bos] * 8, [IDS.semantic_bos + CARD] * 8]


def test_an_end_in_codebook_0_is_an_end_in_all() -> None:
    state = states([REASON, SEMANTIC, REASON], [3, 3, 3])
    frame = torch.full((3, 8), 2)
    frame[0, 0], frame[1, 0] = REASON_EOS[0], SEMANTIC_EOS[0]
    assert STRICT.force_markers(frame, state).tolist() == [REASON_EOS, SEMANTIC_EOS, [2] * 8]
    assert not state.hit_limit.any()


def test_the_reason_limit_forces_the_end_and_is_remembered() -> None:
    state = states([REASON, REASON, REASON, SEMANTIC], [4, 5, 5, 9], limit=4)
    frame = torch.full((4, 8), 2)
    frame[2, 0] = IDS.reason_eos  # this row would have ended by itself
    got = STRICT.force_markers(frame, state)
    assert got.tolist() == [[2] * 8, REASON_EOS, REASON_EOS, [2] * 8]
    assert state.hit_limit.tolist() == [False, True, False, False]


def test_finished_rows_are_not_marked() -> None:
    state = states([REASON], [9])
    state.finished = torch.tensor([True])
    STRICT.force_markers(torch.full((1, 8), 2), state)
    assert not state.hit_limit.any()


def test_advance_switches_on_a_whole_frame_and_stops_in_either_phase() -> None:
    state = states([REASON, REASON, REASON, SEMANTIC, SEMANTIC], [2] * 5)
    partial = [*REASON_EOS[:7], 0]
    frame = torch.tensor([REASON_EOS, partial, SEMANTIC_EOS, SEMANTIC_EOS, [13] * 8])
    assert PUBLISHED.advance(frame, state).tolist() == [False, False, True, True, False]
    assert state.phase.tolist() == [SEMANTIC, REASON, REASON, SEMANTIC, SEMANTIC]
    assert state.phase_steps.tolist() == [0, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("asked", "most", "want"),
    [(None, 500, 141), (None, 5, 1), (10, 500, 10), (10, 9, 5), (900, 500, 496), (1, 5, 1)],
)
def test_reason_limit_leaves_room_for_audio(asked: int | None, most: int, want: int) -> None:
    assert phases_of(PAIR, asked, most).reason_limit == want
    assert want + 4 <= most


@pytest.mark.parametrize("sounds", [1, 2, 4])
@pytest.mark.parametrize("more", [0, 1, 7, 400])
def test_all_sounds_find_room_when_every_phase_uses_its_limit(sounds: int, more: int) -> None:
    answer: tuple[Stream, ...] = PAIR * sounds
    most = shortest_answer(answer) + more
    plan = phases_of(answer, None, most)
    assert plan.reason_limit >= 1 and plan.recon_limit >= 1
    # the last phase has no limit of its own, and must have at least a frame left
    used = sounds * (plan.reason_limit + 2) + (sounds - 1) * (plan.recon_limit + 2) + 1
    assert used < most


def test_two_sounds_take_turns_and_end_with_the_second() -> None:
    state = DecodeState.start([0], [50], [phases_of(PAIR * 2, None, 50)], CPU)
    ends = [REASON_EOS, SEMANTIC_EOS, REASON_EOS, SEMANTIC_EOS]
    stops = [bool(STRICT.advance(torch.tensor([end]), state)) for end in ends]
    assert stops == [False, False, False, True]


def test_a_phase_of_the_first_sound_is_ended_so_that_the_second_fits() -> None:
    state = DecodeState.start([0], [50], [Phases(SEMANTIC, 3, 4, 6)], CPU)
    state.phase_steps = torch.tensor([7])
    assert STRICT.force_markers(torch.full((1, 8), 20), state).tolist() == [SEMANTIC_EOS]
    assert state.hit_limit.tolist() == [True]


@pytest.mark.parametrize(
    ("stream", "end"), [("reason", REASON_EOS), ("recon", SEMANTIC_EOS)], ids=["reason", "recon"]
)
def test_one_stream_alone_ends_with_its_own_marker(stream: Stream, end: list[int]) -> None:
    state = DecodeState.start([0], [50], [phases_of((stream,), None, 50)], CPU)
    assert STRICT.force_markers(torch.full((1, 8), 2), state)[0, 0] in (9, 13 + CARD)
    assert STRICT.advance(torch.tensor([end]), state).tolist() == [True]


def test_the_default_limit_is_the_share_of_reasoning_in_an_answer() -> None:
    """5 Hz beside 12.5 Hz: an answer that fills 500 frames reasons over as many seconds."""
    limit = phases_of(PAIR, None, 500).reason_limit
    recon = 500 - 4 - limit
    assert limit / 5 == pytest.approx(recon / 12.5, rel=0.01)


def test_requests_of_one_phase_need_no_telling_apart() -> None:
    (only,) = STRICT.vocab_ranges(states([SEMANTIC, SEMANTIC], [1, 2]))
    assert (only.slots, only.phase) == (None, SEMANTIC)
    assert (only.first, only.stop) == (CARD, CONFIG.audio_vocab)
    first, second = STRICT.vocab_ranges(states([SEMANTIC, REASON, SEMANTIC], [1, 2, 1]))
    assert first.slots is not None and first.slots.tolist() == [1]
    assert second.slots is not None and second.slots.tolist() == [0, 2]
    assert (first.first, first.stop, second.first) == (0, CARD, CARD)


def test_a_range_of_any_phase_allows_what_each_request_may_choose() -> None:
    """The way of a GPU, which is not asked for phases."""
    state = states([REASON, REASON, SEMANTIC, SEMANTIC], [1, 2, 1, 2])
    anything = VocabRange(None, None, 0, CONFIG.audio_vocab)
    for grammar in (STRICT, PUBLISHED):
        for depth in (0, 3):
            whole = grammar.allowed(depth, state, anything)
            assert torch.equal(whole, every_id(grammar, depth, state))
