"""What follows of a task from its prompt."""

from __future__ import annotations

from uniaudio2.tasks.table import TASKS


def test_texts_that_are_said_are_told_from_others() -> None:
    """Those alone are spoken in passages: no songs, no captions, no texts that go with a sound."""
    spoken = {task.name: task.spoken_column for task in TASKS.values() if task.spoken_column}
    names = ("tts", "yue_tts", "instruct_tts", "prompt_instruct_tts")
    assert spoken == dict.fromkeys(names, "text")
