from __future__ import annotations

import pytest

from uniaudio2.config import SpecialIds
from uniaudio2.tasks.table import TASKS, TaskSpec, get_task

EVERY = pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)


@EVERY
def test_items_read_columns_that_the_task_has(task: TaskSpec) -> None:
    assert {s.column for s in task.prompt if s.column} <= {*task.columns, *task.optional}
    assert set(task.fallback) <= set(task.columns)


@EVERY
def test_tags_exist(task: TaskSpec) -> None:
    tags = {item.tag for item in task.prompt if item.tag} | (
        {task.output_tag} if task.output_tag else set()
    )
    assert tags <= set(SpecialIds().tags)


@EVERY
def test_stages_suit_inputs_and_output(task: TaskSpec) -> None:
    order = ["load", "encode", "generate", "decode", "score"]
    assert list(task.stages) == [stage for stage in order if stage in task.stages]
    is_encoded = "audio" in task.columns and task.output != "scores"
    assert ("encode" in task.stages) == is_encoded
    assert ("decode" in task.stages) == (task.output == "audio")
    assert ("generate" in task.stages) == bool(task.prompt)
    # pre-training had no instruction for these two
    assert bool(task.instruction) == (bool(task.prompt) and not task.name.endswith("_only"))
    assert task.output_tag is None or task.output == "text"


@EVERY
def test_aliases_lead_to_their_task(task: TaskSpec) -> None:
    for name in (task.name, *task.aliases):
        assert get_task(name) is task


def test_names_are_unique() -> None:
    names = [name for task in TASKS.values() for name in (task.name, *task.aliases)]
    assert len(set(names)) == len(names)


def test_unknown_task_names_the_nearest_and_takes_no_other() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'instruct_ts'.*'instruct_tts'"):
        get_task("instruct_ts")


PUBLISHED = """
ASR Yue_ASR D_ASR lyric_recognition audio_caption music_caption audio_understanding speech_s2t TTS
Yue_TTS TTA TTM LTS InstructTTS speech_s2s speech_edit speech_denoise speech_ss music_ss
prompt_instruct_tts audio_only text_only reason_to_semantic semantic_to_reason semantic_copy
reason_copy
""".split()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_spellings_are_accepted(name: str) -> None:
    assert get_task(name).prompt


@pytest.mark.parametrize(
    ("name", "layout", "yields"),
    [
        ("ASR", "TP R(audio) S(audio)", "text in <transcription>"),
        ("lyric_recognition", "TP R(audio) S(audio)", "text in <lyric>"),
        ("audio_understanding", "TP {question} R(audio) S(audio)", "text"),
        ("LTS", "TP <lyric>{lyric}</lyric>", "audio: R S"),
        ("speech_edit", "TP {text} R(audio) S(audio)", "audio: R S"),
        ("speech_ss", "TP R(audio) S(audio)", "audio: R S R S"),
        ("reason_to_semantic", "TP R(audio)", "audio: S"),
        ("semantic_to_reason", "TP S(audio)", "codes: R"),
        ("audio_only", "R(audio) S(audio)", "audio: R S"),
        ("text_only", "{text}", "text"),
        (
            "prompt_instruct_tts",
            "TP AP(audio) <caption>{caption}</caption> <transcription>{text}</transcription>",
            "audio: R S",
        ),
    ],
)
def test_layouts_are_the_published_ones(name: str, layout: str, yields: str) -> None:
    assert (get_task(name).layout, get_task(name).yields) == (layout, yields)


def test_no_two_tasks_ask_with_the_same_words() -> None:
    asked = [task.instruction for task in TASKS.values() if task.instruction]
    assert len(set(asked)) == len(asked)
