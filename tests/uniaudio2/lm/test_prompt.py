from __future__ import annotations

import pytest

from tests.uniaudio2.lm.small import CONFIG, codes
from uniaudio2.lm.prompt import build_prompt
from uniaudio2.tasks.table import TASKS, PromptItem
from uniaudio2.tokens.codes import Codes
from uniaudio2.tokens.grid import AUDIO, TEXT, audio_prompt_positions

HEARD = Codes(codes(2, 9, 0), codes(5, 11, 0))
INSTRUCTION = [256, 65, 257]


def test_items_follow_the_instruction_in_their_order() -> None:
    values = {"caption": [256, 66, 257], "text": [256, 67, 257]}
    prompt = build_prompt(TASKS["instruct_tts"], INSTRUCTION, values, CONFIG)
    assert prompt.tokens[:, 8].tolist() == [
        *INSTRUCTION, 262, 256, 66, 257, 263, 260, 256, 67, 257, 261,
    ]  # fmt: skip
    assert prompt.kind.eq(TEXT).all()


def test_audio_comes_as_reasoning_then_reconstruction() -> None:
    prompt = build_prompt(TASKS["asr"], INSTRUCTION, {"audio": HEARD}, CONFIG)
    assert len(prompt) == 3 + 4 + 7
    assert prompt.kind.tolist() == [TEXT] * 3 + [AUDIO] * 11
    assert prompt.tokens[4:6, :8].tolist() == HEARD.reason.tolist()
    assert (prompt.tokens[8:13, :8] - CONFIG.reason_card).tolist() == HEARD.recon.tolist()


def test_an_audio_prompt_has_its_own_markers() -> None:
    task = TASKS["tts"].model_copy(
        update={"prompt": (PromptItem(kind="audio_prompt", column="audio"),)}
    )
    prompt = build_prompt(task, INSTRUCTION, {"audio": HEARD}, CONFIG)
    want = audio_prompt_positions(HEARD.recon, CONFIG)
    assert prompt.tokens[3:].tolist() == want.tokens.tolist()


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("asr", {}, "column 'audio' holds nothing; task 'asr' needs codes there"),
        ("asr", {"audio": [1]}, "column 'audio' holds list; task 'asr' needs codes"),
        ("tts", {"text": HEARD}, "column 'text' holds Codes; task 'tts' needs text ids"),
    ],
)
def test_wrong_values(task: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_prompt(TASKS[task], INSTRUCTION, values, CONFIG)


def test_an_empty_text_leaves_its_tags() -> None:
    empty = build_prompt(TASKS["tts"], INSTRUCTION, {"text": []}, CONFIG)
    assert empty.tokens[:, 8].tolist() == [*INSTRUCTION, 260, 261]
