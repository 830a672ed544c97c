from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.uniaudio2.lm.small import CONFIG, IDS, REASON_EOS, SEMANTIC_EOS, codes
from uniaudio2.tokens.grid import (
    AUDIO,
    PADDING,
    TEXT,
    Prompt,
    audio_prompt_positions,
    pad_prompts,
    parse_answer,
    reason_positions,
    semantic_positions,
    text_positions,
    unconditional,
)
from uniaudio2.tokens.streams import PAIR

CARD = CONFIG.reason_card


def test_text_positions_fill_the_last_column_only() -> None:
    prompt = text_positions([256, 7, 257], CONFIG)
    assert prompt.tokens[:, 8].tolist() == [256, 7, 257]
    assert prompt.tokens[:, :8].eq(0).all()
    assert prompt.kind.tolist() == [TEXT] * 3


def test_a_tag_stands_around_bos_and_eos() -> None:
    prompt = text_positions([256, 7, 257], CONFIG, "caption")
    assert prompt.tokens[:, 8].tolist() == [262, 256, 7, 257, 263]


def test_unknown_tag() -> None:
    with pytest.raises(KeyError):
        text_positions([1], CONFIG, "poem")


@pytest.mark.parametrize("id", [-1, CONFIG.text_vocab])
def test_text_ids_stay_in_their_vocabulary(id: int) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0\.\.269"):
        text_positions([3, id], CONFIG)


@pytest.mark.parametrize(
    ("make", "shift", "bos", "eos"),
    [
        (reason_positions, 0, IDS.reason_bos, IDS.reason_eos),
        (semantic_positions, CARD, IDS.semantic_bos + CARD, IDS.semantic_eos + CARD),
        (audio_prompt_positions, CARD, IDS.audio_prompt_bos, IDS.audio_prompt_eos),
    ],
)
def test_audio_positions(make: object, shift: int, bos: int, eos: int) -> None:
    audio = codes(4, 9, 0)
    prompt = make(audio, CONFIG)
    assert prompt.tokens[0, :8].tolist() == [bos] * 8
    assert prompt.tokens[-1, :8].tolist() == [eos] * 8
    assert torch.equal(prompt.tokens[1:-1, :8], audio + shift)
    assert prompt.tokens[:, 8].eq(0).all()
    assert prompt.kind.tolist() == [AUDIO] * 6


@pytest.mark.parametrize("make", [semantic_positions, audio_prompt_positions])
def test_codes_of_a_narrow_dtype_do_not_wrap_around(make: object) -> None:
    wide = CONFIG.model_copy(update={"reason_card": 250})
    audio = codes(4, 11, 0).to(torch.uint8)
    assert torch.equal(make(audio, wide).tokens[1:-1, :8], audio.long() + 250)


@pytest.mark.parametrize(
    ("make", "card"), [(reason_positions, CARD), (semantic_positions, CONFIG.semantic_card)]
)
def test_codes_of_another_card_are_refused(make: object, card: int) -> None:
    for wrong in (card, -1):
        audio = codes(4, 9, 0)
        audio[2, 5] = wrong
        with pytest.raises(ValueError, match=rf"must lie in 0\.\.{card - 1}"):
            make(audio, CONFIG)


def test_codes_with_codebooks_first_are_refused() -> None:
    with pytest.raises(ValueError, match="time first"):
        reason_positions(codes(5, 9, 0).T, CONFIG)


def test_unconditional_pads_text_and_audio() -> None:
    prompt = Prompt.join(
        [
            text_positions([256, 7, 257], CONFIG, "caption"),
            reason_positions(codes(2, 9, 0), CONFIG),
            semantic_positions(codes(3, 11, 0), CONFIG),
        ]
    )
    silent = unconditional(prompt, CONFIG)
    assert torch.equal(silent.kind, prompt.kind)
    assert silent.tokens[:, 8].tolist() == [IDS.text_pad] * 5 + [0] * 9
    assert silent.tokens[:5, :8].eq(0).all()
    assert silent.tokens[5:9, :8].eq(IDS.reason_pad).all()
    assert silent.tokens[9:, :8].eq(IDS.semantic_pad).all()
    assert prompt.tokens[1, 8] == 256, "the prompt itself must not change"


def test_pad_prompts_pads_on_the_right() -> None:
    short, long = text_positions([1], CONFIG), text_positions([1, 2, 3], CONFIG)
    tokens, kind, length = pad_prompts([short, long])
    assert tokens.shape == (2, 3, 9)
    assert kind.tolist() == [[TEXT, PADDING, PADDING], [TEXT] * 3]
    assert length.tolist() == [1, 3]


def frames(*rows: list[int]) -> Tensor:
    return torch.tensor(list(rows)) if rows else torch.zeros(0, 8, dtype=torch.int64)


R = [[number] * 8 for number in range(9)]  # reason codes
S = [[CARD + number] * 8 for number in range(11)]  # reconstruction codes, joint ids


@pytest.mark.parametrize(
    ("given", "reason", "recon"),
    [
        ([R[0], R[1], R[2], REASON_EOS, S[0], S[5], SEMANTIC_EOS], [1, 2], [5]),
        ([R[0], R[1], REASON_EOS, S[0], S[5], S[6]], [1], [5, 6]),
        ([R[0], R[1], R[2]], [1, 2], []),
        ([R[0], R[1], SEMANTIC_EOS], [1], []),
        ([R[0], SEMANTIC_EOS, REASON_EOS, S[0], S[1]], [], []),
        ([R[0], REASON_EOS, S[0], SEMANTIC_EOS], [], []),
        ([REASON_EOS, SEMANTIC_EOS], [], []),
        ([REASON_EOS], [], []),
        ([SEMANTIC_EOS], [], []),
        ([], [], []),
    ],
)
def test_parse_answer(given: list[list[int]], reason: list[int], recon: list[int]) -> None:
    (parsed,) = parse_answer(frames(*given), CONFIG)
    assert parsed.reason.shape == (len(reason), 8)
    assert parsed.recon.shape == (len(recon), 8)
    assert parsed.reason[:, 3].tolist() == reason
    assert parsed.recon[:, 3].tolist() == recon


def test_parse_several_sounds_and_single_streams() -> None:
    two = frames(R[0], R[1], REASON_EOS, S[0], S[2], SEMANTIC_EOS, R[0], R[3], REASON_EOS, S[0])
    first, second = parse_answer(two, CONFIG, PAIR * 2)
    assert (first.reason[:, 0].tolist(), first.recon[:, 0].tolist()) == ([1], [2])
    assert (second.reason[:, 0].tolist(), second.recon[:, 0].tolist()) == ([3], [])
    (recon,) = parse_answer(frames(S[0], S[4], S[5], SEMANTIC_EOS), CONFIG, ("recon",))
    assert (recon.reason.shape, recon.recon[:, 0].tolist()) == ((0, 8), [4, 5])
    (reason,) = parse_answer(frames(R[0], R[4], REASON_EOS), CONFIG, ("reason",))
    assert (reason.reason[:, 0].tolist(), reason.recon.shape) == ([4], (0, 8))
    assert len(parse_answer(frames(), CONFIG, PAIR * 2)) == 2


def test_a_partial_marker_is_a_frame_like_any_other() -> None:
    partial = [*REASON_EOS[:7], 3]
    (parsed,) = parse_answer(frames(R[0], partial, R[2], REASON_EOS, S[0], S[4]), CONFIG)
    assert parsed.reason.tolist() == [partial, R[2]]
    assert parsed.recon.tolist() == [[4] * 8]
